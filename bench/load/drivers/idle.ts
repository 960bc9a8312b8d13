/**
 * `idle --port P --count N --kind http1|tls|stream`: opens N connections that have each had one answer (or N HTTP/2 streams on ten
 * connections that wait for theirs), prints `open N` and holds them until stdin ends.
 */
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    count: { type: 'string' },
    kind: { type: 'string', default: 'http1' },
  },
})
const port = Number(values.port)
const count = Number(values.count)
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

async function streams(): Promise<void> {
  const sessions: ClientHttp2Session[] = []
  for (let i = 0; i < SESSIONS; i++) {
    const session = connectHttp2(`http://127.0.0.1:${port}`, { peerMaxConcurrentStreams: 100_000 })
    await new Promise((resolve, reject) => {
      session.once('error', reject)
      session.once('remoteSettings', resolve)
    })
    sessions.push(session)
  }
  for (let i = 0; i < count; i++) {
    const stream = sessions[i % SESSIONS]!.request({ ':path': '/hold', ':authority': 'bench.test' })
    stream.on('error', error => {
      throw error
    })
  }
}

const held: Socket[] = []
let opening = 0
if (values.kind === 'stream') await streams()
else {
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
process.stdout.write(`open ${values.kind === 'stream' ? count : held.length}\n`)
process.stdin.resume().once('end', () => process.exit(0))
