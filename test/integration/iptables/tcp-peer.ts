/**
 * A process inside a network namespace that the test drives by JSON lines on stdin: listens and connects as some user,
 * and tells what it saw. Every accepted connection gets one JSON line: where it was accepted, where it was meant to go.
 * Every datagram is answered with one too.
 */
import { createSocket } from 'node:dgram'
import { connect, createServer, type Server } from 'node:net'
import { createInterface } from 'node:readline'
import { libc } from '../../../src/io/libc.ts'

export type Request =
  /** `transparent`: takes what TPROXY delivers, which goes to foreign addresses. Needs NET_ADMIN. */
  | { readonly op: 'listen'; readonly ports: readonly number[]; readonly transparent?: boolean }
  /** `loopback`: as the agent's DNS server, whose replies would otherwise leave from an address conntrack does not know. */
  | { readonly op: 'listen-datagram'; readonly ports: readonly number[]; readonly loopback?: boolean }
  | { readonly op: 'datagram'; readonly host: string; readonly port: number }
  | { readonly op: 'connect'; readonly host: string; readonly port: number; readonly from?: string }

/** What the far end of a connection wrote; `error` instead when there was none. */
export interface Arrival {
  readonly port?: number
  readonly original?: string
  /** The accepting end's own address. */
  readonly local?: string
  /** Who is said to have connected. */
  readonly client?: string
  readonly error?: string
}

const [uid = '0', gid = uid] = process.argv.slice(2)
if (gid !== '0') process.setgid?.(Number(gid))
if (uid !== '0') process.setuid?.(Number(uid))

const { getsockopt, setsockopt } = libc()!
const SO_ORIGINAL_DST = 80
const SOL_IP = 0
const SOL_IPV6 = 41
const IP_TRANSPARENT = 19
const IPV6_TRANSPARENT = 75

function originalDestination(fd: number, ipv6: boolean): string | undefined {
  const address = Buffer.alloc(28)
  const length = Buffer.alloc(4)
  length.writeInt32LE(address.length)
  // IP6T_SO_ORIGINAL_DST has the same number.
  if (getsockopt(fd, ipv6 ? SOL_IPV6 : SOL_IP, SO_ORIGINAL_DST, address, length) !== 0) return undefined
  const port = address.readUInt16BE(2)
  if (!ipv6) return `${[...address.subarray(4, 8)].join('.')}:${port}`
  const groups = Array.from({ length: 8 }, (_, i) => address.readUInt16BE(8 + 2 * i).toString(16))
  return `${new URL(`http://[${groups.join(':')}]/`).hostname}:${port}`
}

async function listen(ports: readonly number[], transparent: boolean): Promise<object> {
  for (const port of ports) {
    for (const host of ['0.0.0.0', '::']) {
      const server = createServer(socket => {
        const { localAddress, localPort, remoteAddress } = socket
        const local = host === '::' ? `[${localAddress}]:${localPort}` : `${localAddress}:${localPort}`
        const original = originalDestination(descriptor(socket), host === '::')
        socket.on('error', () => {})
        socket.end(`${JSON.stringify({ port, original, local, client: remoteAddress })}\n`)
      })
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen({ port, host, ipv6Only: host === '::' }, resolve)
      })
      if (transparent) makeTransparent(server, host === '::')
    }
  }
  return { listening: ports }
}

function makeTransparent(server: Server, ipv6: boolean): void {
  const on = Buffer.from([1, 0, 0, 0])
  const [level, option] = ipv6 ? [SOL_IPV6, IPV6_TRANSPARENT] : [SOL_IP, IP_TRANSPARENT]
  if (setsockopt(descriptor(server), level, option, on, on.length) !== 0) throw new Error('IP_TRANSPARENT: refused')
}

function descriptor(handleOwner: object): number {
  return (handleOwner as { _handle: { fd: number } })._handle.fd
}

async function listenForDatagrams(ports: readonly number[], loopback: boolean): Promise<object> {
  for (const port of ports) {
    for (const type of ['udp4', 'udp6'] as const) {
      const socket = createSocket({ type, ipv6Only: type === 'udp6' })
      socket.on('message', (_, from) => socket.send(JSON.stringify({ port }), from.port, from.address))
      await new Promise<void>((resolve, reject) => {
        socket.once('error', reject)
        if (loopback) socket.bind(port, type === 'udp6' ? '::1' : '127.0.0.1', resolve)
        else socket.bind(port, resolve)
      })
    }
  }
  return { listening: ports }
}

/** A reply counts only if it comes from where the question went: resolvers drop any other. */
function sendDatagram(host: string, port: number): Promise<Arrival> {
  return new Promise(resolve => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
    const done = (arrival: Arrival): void => {
      clearTimeout(timer)
      socket.close()
      resolve(arrival)
    }
    const timer = setTimeout(() => done({ error: 'timeout' }), 15_000)
    socket.on('error', error => done({ error: error.message }))
    socket.on('message', message => done(JSON.parse(message.toString()) as Arrival))
    socket.connect(port, host, () => socket.send('?'))
  })
}

function connectTo(host: string, port: number, from: string | undefined): Promise<Arrival> {
  return new Promise(resolve => {
    const socket = connect({ host, port, ...(from === undefined ? {} : { localAddress: from }) })
    let text = ''
    socket.setTimeout(15_000, () => socket.destroy(new Error('timeout')))
    socket.on('data', chunk => {
      text += chunk
    })
    socket.on('error', error => resolve({ error: (error as NodeJS.ErrnoException).code ?? error.message }))
    socket.on('end', () => resolve(text === '' ? { error: 'closed without a word' } : (JSON.parse(text) as Arrival)))
  })
}

async function answer(request: Request): Promise<object> {
  switch (request.op) {
    case 'listen':
      return listen(request.ports, request.transparent === true)
    case 'listen-datagram':
      return listenForDatagrams(request.ports, request.loopback === true)
    case 'connect':
      return connectTo(request.host, request.port, request.from)
    case 'datagram':
      return sendDatagram(request.host, request.port)
  }
}

if (process.argv[1] === import.meta.filename) {
  createInterface({ input: process.stdin })
    .on('line', async line => {
      const request = JSON.parse(line) as Request
      const reply = await answer(request).catch((error: Error) => ({ error: error.message }))
      process.stdout.write(`${JSON.stringify(reply)}\n`)
    })
    .on('close', () => process.exit(0))
}
