/**
 * A process inside a network namespace that the test drives by JSON lines on stdin: listens and connects as some user,
 * and tells what it saw. Every accepted connection gets one JSON line: where it was accepted, where it was meant to go.
 */
import { connect, createServer } from 'node:net'
import { createInterface } from 'node:readline'
import koffi from 'koffi'

export type Request =
  | { readonly op: 'listen'; readonly ports: readonly number[] }
  | { readonly op: 'connect'; readonly host: string; readonly port: number; readonly from?: string }

/** What the far end of a connection wrote; `error` instead when there was none. */
export interface Arrival {
  readonly port?: number
  readonly original?: string
  readonly error?: string
}

const [uid = '0'] = process.argv.slice(2)
if (uid !== '0') {
  process.setgid?.(Number(uid))
  process.setuid?.(Number(uid))
}

const libc = koffi.load(null)
const getsockopt = libc.func('int getsockopt(int, int, int, _Out_ uint8_t *, _Inout_ uint32_t *)')
const SO_ORIGINAL_DST = 80

function originalDestination(fd: number, ipv6: boolean): string | undefined {
  const address = Buffer.alloc(28)
  const length = [address.length]
  // SOL_IP / SOL_IPV6; IP6T_SO_ORIGINAL_DST has the same number.
  if (getsockopt(fd, ipv6 ? 41 : 0, SO_ORIGINAL_DST, address, length) !== 0) return undefined
  const port = address.readUInt16BE(2)
  if (!ipv6) return `${[...address.subarray(4, 8)].join('.')}:${port}`
  const groups = Array.from({ length: 8 }, (_, i) => address.readUInt16BE(8 + 2 * i).toString(16))
  return `${new URL(`http://[${groups.join(':')}]/`).hostname}:${port}`
}

async function listen(ports: readonly number[]): Promise<object> {
  for (const port of ports) {
    for (const host of ['0.0.0.0', '::']) {
      const server = createServer(socket => {
        const fd = (socket as unknown as { _handle: { fd: number } })._handle.fd
        socket.on('error', () => {})
        socket.end(`${JSON.stringify({ port, original: originalDestination(fd, host === '::') })}\n`)
      })
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen({ port, host, ipv6Only: host === '::' }, resolve)
      })
    }
  }
  return { listening: ports }
}

function connectTo(host: string, port: number, from: string | undefined): Promise<Arrival> {
  return new Promise(resolve => {
    const socket = connect({ host, port, ...(from === undefined ? {} : { localAddress: from }) })
    let text = ''
    socket.setTimeout(3000, () => socket.destroy(new Error('timeout')))
    socket.on('data', chunk => {
      text += chunk
    })
    socket.on('error', error => resolve({ error: (error as NodeJS.ErrnoException).code ?? error.message }))
    socket.on('end', () => resolve(text === '' ? { error: 'closed without a word' } : (JSON.parse(text) as Arrival)))
  })
}

if (process.argv[1] === import.meta.filename) {
  createInterface({ input: process.stdin })
    .on('line', async line => {
      const request = JSON.parse(line) as Request
      const reply =
        request.op === 'listen'
          ? await listen(request.ports).catch((error: Error) => ({ error: error.message }))
          : await connectTo(request.host, request.port, request.from)
      process.stdout.write(`${JSON.stringify(reply)}\n`)
    })
    .on('close', () => process.exit(0))
}
