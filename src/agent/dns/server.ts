import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { createServer, isIPv6, type Server, type Socket } from 'node:net'
import { AgentError } from '../agent-error.ts'
import { Logger } from '../log.ts'
import { type DnsScope, LookupTable, withAlternates } from './lookup.ts'
import type { NameTable } from './name-table.ts'
import { type NextId, shuffle } from './round-robin.ts'
import { type DnsEndpoint, type DnsProtocol, DnsUpstream, framed } from './upstream.ts'
import { MAX_MESSAGE, NOERROR, type Query, readQuery, SERVFAIL, TYPE_CNAME, writeAnswer } from './wire.ts'

export interface DnsMetrics {
  request(): void
  upstreamRequest(): void
  upstreamFailure(): void
  upstreamDuration(seconds: number): void
}

export interface DnsServerOptions {
  /** Each for UDP and TCP; port 0: any free one. */
  readonly addresses: readonly DnsEndpoint[]
  readonly scope: DnsScope
  readonly servers: readonly DnsEndpoint[]
  readonly parallel: boolean
  readonly timeoutMs: number
  /** Without a table yet: ask upstream instead of SERVFAIL. For a server on port 53, which nobody else stands in for. */
  readonly respondBeforeSync: boolean
  readonly metrics: DnsMetrics
  readonly nextId?: NextId
}

/** RFC 7766 §6.2.3: long enough for a resolver's next question. */
const TCP_IDLE_MS = 8000
const MAX_TCP_CONNECTIONS = 1024

const log = new Logger('dns')

/** Answers for the hosts of the mesh from istiod's name table and forwards everything else (istio pkg/dns/client). */
export class DnsServer {
  readonly #options: DnsServerOptions
  readonly #upstream: DnsUpstream
  readonly #nextId: NextId
  readonly #udp: UdpSocket[] = []
  readonly #tcp: Server[] = []
  readonly #connections = new Set<Socket>()
  #closed = false
  #lookup: LookupTable | null = null
  #table: NameTable | null = null

  constructor(options: DnsServerOptions) {
    this.#options = options
    this.#nextId = options.nextId ?? (() => Math.floor(Math.random() * 0x10000))
    const { servers, parallel, timeoutMs } = options
    this.#upstream = new DnsUpstream({ servers, parallel, timeoutMs, nextId: this.#nextId })
  }

  /** Rejects with AgentError when an address is taken. Resolves to the ports, in the order of the addresses. */
  async listen(): Promise<number[]> {
    const ports: number[] = []
    for (const { host, port } of this.#options.addresses) {
      const bound = await this.#listenUdp(host, port).catch(error => this.#cannotListen('udp', port, error))
      // Over TCP on the same number, as clients expect after a truncated answer.
      await this.#listenTcp(host, bound).catch(error => this.#cannotListen('tcp', bound, error))
      ports.push(bound)
    }
    return ports
  }

  update(table: NameTable): void {
    this.#lookup = new LookupTable(table, this.#options.scope)
    this.#table = table
    log.debug(`updated lookup table with ${this.#lookup.size} hosts`)
  }

  get isReady(): boolean {
    return this.#lookup !== null
  }

  /** What `/debug/ndsz` shows; null before the first table. */
  get table(): NameTable | null {
    return this.#table === null ? null : withAlternates(this.#table, this.#options.scope)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const socket of this.#udp) socket.close()
    for (const server of this.#tcp) server.close()
    for (const connection of this.#connections) connection.destroy()
  }

  /** null: not to be answered. Never rejects. */
  async #answer(bytes: Uint8Array, protocol: DnsProtocol): Promise<Buffer | null> {
    const { metrics, respondBeforeSync } = this.#options
    metrics.request()
    const query = readQuery(bytes)
    if (query === null || !('question' in query)) return query
    const limit = protocol === 'tcp' ? MAX_MESSAGE : query.udpSize
    const name = query.name.toLowerCase()
    if (this.#lookup === null && !respondBeforeSync) {
      log.debug(`dns request for host "${name}" before lookup table is loaded`)
      return writeAnswer(query, SERVFAIL, false, [], limit)
    }
    const records = this.#lookup?.find(query.type, name) ?? null
    if (records === null) return await this.#forward(query, bytes, protocol, limit)
    const aliases = records[0]?.type === TYPE_CNAME ? records.splice(0, 1) : []
    shuffle(records, this.#nextId)
    return writeAnswer(query, NOERROR, true, [...aliases, ...records], limit)
  }

  async #forward(query: Query, bytes: Uint8Array, protocol: DnsProtocol, limit: number): Promise<Buffer> {
    const { metrics } = this.#options
    metrics.upstreamRequest()
    const start = performance.now()
    const answer = await this.#upstream.ask(query, bytes, protocol)
    metrics.upstreamDuration((performance.now() - start) / 1000)
    if (answer !== null) return answer
    metrics.upstreamFailure()
    return writeAnswer(query, SERVFAIL, false, [], limit)
  }

  #listenUdp(host: string, port: number): Promise<number> {
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
    this.#udp.push(socket)
    socket.on('message', (bytes, from) => {
      void this.#answer(bytes, 'udp').then(answer => {
        // The client may be gone and the socket closed: there is nobody to tell.
        if (answer !== null && !this.#closed) socket.send(answer, from.port, from.address, () => {})
      })
    })
    return new Promise((resolve, reject) => {
      socket.once('error', reject)
      socket.bind({ port, address: host, exclusive: true }, () => {
        socket.off('error', reject)
        socket.on('error', error => log.error(`Local udp DNS server: ${error.message}`))
        const bound = socket.address().port
        log.info(`Starting local udp DNS server on ${bracketed(host)}:${bound}`)
        resolve(bound)
      })
    })
  }

  #listenTcp(host: string, port: number): Promise<void> {
    const server = createServer({ noDelay: true, allowHalfOpen: true }, socket => this.#serve(socket))
    server.maxConnections = MAX_TCP_CONNECTIONS
    this.#tcp.push(server)
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port }, () => {
        server.off('error', reject)
        server.on('error', error => log.error(`Local tcp DNS server: ${error.message}`))
        log.info(`Starting local tcp DNS server on ${bracketed(host)}:${port}`)
        resolve()
      })
    })
  }

  #cannotListen(protocol: DnsProtocol, port: number, error: Error): never {
    this.close()
    throw new AgentError(
      `failed to start local DNS server: Failed to listen on ${protocol} port ${port}: ${error.message}`,
    )
  }

  /** One question after the other, read only as fast as they are answered. */
  #serve(socket: Socket): void {
    this.#connections.add(socket)
    let pending: Buffer = Buffer.alloc(0)
    let busy = false
    let ended = false
    const next = (): void => {
      if (busy || socket.destroyed) return
      if (pending.length < 2 || pending.length < 2 + pending.readUInt16BE(0)) {
        // The client may close its side after the last question and still wait for the answer.
        if (ended) socket.end()
        else socket.resume()
        return
      }
      const message = Buffer.from(pending.subarray(2, 2 + pending.readUInt16BE(0)))
      pending = pending.subarray(2 + message.length)
      busy = true
      socket.pause()
      void this.#answer(message, 'tcp').then(answer => {
        busy = false
        if (answer === null) socket.destroy()
        else if (!socket.destroyed) socket.write(framed(answer))
        next()
      })
    }
    socket.setTimeout(TCP_IDLE_MS, () => socket.destroy())
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#connections.delete(socket))
    socket.on('end', () => {
      ended = true
      next()
    })
    socket.on('data', (chunk: Buffer) => {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
      next()
    })
  }
}

function bracketed(host: string): string {
  return isIPv6(host) ? `[${host}]` : host
}
