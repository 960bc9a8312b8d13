/**
 * `idle --port P --count N --kind http1|tls|stream`: opens N connections that have each had one answer (or N HTTP/2 streams on ten
 * connections that wait for theirs), prints `open N` and holds them until stdin ends. `--then M`: at the first line on stdin opens more
 * of them until there are M, and prints `open M`.
 */
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    count: { type: 'string' },
    // biome-ignore lint/suspicious/noThenProperty: the name of an option.
    then: { type: 'string' },
    kind: { type: 'string', default: 'http1' },
  },
})
const port = Number(values.port)
const SESSIONS = 10
/** Connections being opened at once: fewer than any accept queue. */
const LANES = 16

function connection(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket =
      values.kind === 'tls'
        ? connectTls({
            host: '127.0.0.1',
            port,
            servername: 'bench.test',
            rejectUnauthorized: false,
            ALPNProtocols: ['http/1.1'],
          })
        : connectTcp({ host: '127.0.0.1', port })
    socket.once('error', reject)
    socket.once(values.kind === 'tls' ? 'secureConnect' : 'connect', () =>
      socket.write('GET / HTTP/1.1\r\nhost: bench.test\r\n\r\n'),
    )
    socket.once('data', () => resolve(socket))
  })
}

async function connectSessions(): Promise<void> {
  for (let i = 0; i < SESSIONS; i++) {
    const session = connectHttp2(`http://127.0.0.1:${port}`, { peerMaxConcurrentStreams: 100_000 })
    await new Promise((resolve, reject) => {
      session.once('error', reject)
      session.once('remoteSettings', resolve)
    })
    sessions.push(session)
  }
}

function openStreams(count: number): void {
  for (; streams < count; streams++) {
    const stream = sessions[streams % SESSIONS]!.request({ ':path': '/hold', ':authority': 'bench.test' })
    stream.on('error', error => {
      throw error
    })
  }
}

const sessions: ClientHttp2Session[] = []
let streams = 0
const held: Socket[] = []
let opening = 0

async function openConnections(count: number): Promise<void> {
  const lane = async (): Promise<void> => {
    while (held.length + opening < count) {
      opening++
      const socket = await connection()
      opening--
      held.push(socket)
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
}

async function open(count: number): Promise<void> {
  if (values.kind === 'stream') openStreams(count)
  else await openConnections(count)
  process.stdout.write(`open ${count}\n`)
}

if (values.kind === 'stream') await connectSessions()
await open(Number(values.count))
process.stdin.once('end', () => process.exit(0))
if (values.then !== undefined) process.stdin.once('data', () => open(Number(values.then)))
process.stdin.resume()
