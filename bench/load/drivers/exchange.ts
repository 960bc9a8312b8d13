/**
 * `exchange --port P --connections C --seconds S [--kind tcp|http] [--tls] [--cert F --key F]`: every connection sends, waits for the
 * answer, sends again. kind tcp: 64 bytes there and back; http: a GET. Prints {"count", "errors", "seconds"}. For what wrk and
 * h2load cannot: plain TCP, and client certificates.
 */
import { readFileSync } from 'node:fs'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    connections: { type: 'string', default: '32' },
    seconds: { type: 'string', default: '2' },
    kind: { type: 'string', default: 'tcp' },
    tls: { type: 'boolean', default: false },
    cert: { type: 'string' },
    key: { type: 'string' },
    path: { type: 'string', default: '/' },
  },
})
const port = Number(values.port)
const seconds = Number(values.seconds)
const message =
  values.kind === 'tcp' ? Buffer.alloc(64, 'x') : Buffer.from(`GET ${values.path} HTTP/1.1\r\nhost: bench.test\r\n\r\n`)
const credentials =
  values.cert === undefined ? {} : { cert: readFileSync(values.cert), key: readFileSync(values.key ?? values.cert) }

let count = 0
let errors = 0
let running = true

/** Bytes of an answer that are missing; −1 until its head is complete. */
class Exchange {
  readonly socket: Socket
  left = message.length
  head = ''

  constructor(socket: Socket) {
    this.socket = socket
    if (values.kind !== 'tcp') this.left = -1
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.onData(chunk))
    socket.on('error', () => {
      if (running) errors++
    })
    socket.on('close', () => {
      if (running) errors++
    })
  }

  send(): void {
    this.socket.write(message)
  }

  onData(chunk: Buffer): void {
    let length = chunk.length
    if (this.left < 0) {
      this.head += chunk.toString('latin1')
      const end = this.head.indexOf('\r\n\r\n')
      if (end < 0) return
      if (!this.head.startsWith('HTTP/1.1 200')) errors++
      const size = Number(/\r\ncontent-length: (\d+)/i.exec(this.head)?.[1] ?? 0)
      length = this.head.length - end - 4
      this.left = size
      this.head = ''
    }
    this.left -= length
    if (this.left > 0) return
    this.left = values.kind === 'tcp' ? message.length : -1
    count++
    if (running) this.send()
  }
}

function open(): Promise<Exchange> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port }
    const socket = values.tls
      ? connectTls({
          ...options,
          ...credentials,
          servername: 'bench.test',
          rejectUnauthorized: false,
          ALPNProtocols: ['http/1.1'],
        })
      : connectTcp(options)
    socket.once('error', reject)
    socket.once(values.tls ? 'secureConnect' : 'connect', () => resolve(new Exchange(socket)))
  })
}

const exchanges: Exchange[] = []
for (let i = 0; i < Number(values.connections); i++) exchanges.push(await open())
// What connecting has cost is over; the bench counts CPU from the line below on.
process.stdout.write('ready\n')
if (process.stdin.isTTY !== true) await new Promise(resolve => process.stdin.once('data', resolve))
const start = process.hrtime.bigint()
for (const exchange of exchanges) exchange.send()
setTimeout(() => {
  running = false
  const took = Number(process.hrtime.bigint() - start) / 1e9
  process.stdout.write(`${JSON.stringify({ count, errors, seconds: took })}\n`, () => process.exit(0))
}, seconds * 1000)
