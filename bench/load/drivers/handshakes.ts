/**
 * `handshakes --port P --seconds S --connections C [--resume]`: TLS handshakes one after another on C lanes, each on a new connection.
 * Without --resume every one is full; with it, every lane takes the ticket of its last connection along, and sends a request on each,
 * because BoringSSL holds tickets back until it has something else to write. Prints
 * {"count", "resumed", "errors", "seconds", "protocol", "cipher"}.
 */
import { connect, type TLSSocket } from 'node:tls'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    seconds: { type: 'string', default: '2' },
    connections: { type: 'string', default: '4' },
    resume: { type: 'boolean', default: false },
  },
})
const port = Number(values.port)
const end = Date.now() + Number(values.seconds) * 1000
/** A lane whose answer never comes must not stand still. */
const ANSWER_WAIT_MS = 1000

let count = 0
let resumed = 0
let errors = 0
let protocol = ''
let cipher = ''

async function lane(): Promise<void> {
  let session: Buffer | undefined
  while (Date.now() < end && errors < 100) {
    try {
      session = await handshake(values.resume ? session : undefined)
    } catch {
      errors++
    }
  }
}

/** One handshake; resolves to the session to resume, when one is wanted. */
function handshake(session: Buffer | undefined): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connect({
      host: '127.0.0.1',
      port,
      servername: 'bench.test',
      rejectUnauthorized: false,
      ALPNProtocols: ['http/1.1'],
      ...(session === undefined ? {} : { session }),
    })
    const done = (ticket: Buffer | undefined): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(ticket)
    }
    let timer: NodeJS.Timeout | undefined
    socket.once('error', reject)
    socket.once('secureConnect', () => {
      count++
      if (socket.isSessionReused()) resumed++
      if (protocol === '') {
        protocol = socket.getProtocol() ?? ''
        cipher = socket.getCipher().name
      }
      if (!values.resume) done(undefined)
      else {
        // In TLS 1.3 tickets come after the handshake, if the server has new ones, and before the answer.
        let ticket = session
        socket.once('session', fresh => {
          ticket = fresh
        })
        socket.once('data', () => done(ticket))
        socket.write('GET / HTTP/1.1\r\nhost: bench.test\r\n\r\n')
        timer = setTimeout(() => done(ticket), ANSWER_WAIT_MS)
      }
    })
  })
}

const start = process.hrtime.bigint()
await Promise.all(Array.from({ length: Number(values.connections) }, lane))
const took = Number(process.hrtime.bigint() - start) / 1e9
process.stdout.write(`${JSON.stringify({ count, resumed, errors, seconds: took, protocol, cipher })}\n`, () =>
  process.exit(0),
)
