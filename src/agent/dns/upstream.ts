import { createSocket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'
import { Logger } from '../log.ts'
import { type NextId, shuffle } from './round-robin.ts'
import { MAX_MESSAGE, type Query } from './wire.ts'

/** A name server, normally of resolv.conf. */
export interface DnsEndpoint {
  readonly host: string
  readonly port: number
}

export interface UpstreamOptions {
  readonly servers: readonly DnsEndpoint[]
  /** DNS_FORWARD_PARALLEL: ask all at once and take the first answer; else one after the other, in random order. */
  readonly parallel: boolean
  /** DNS_FORWARD_TIMEOUT, for each server. */
  readonly timeoutMs: number
  readonly nextId: NextId
}

export type DnsProtocol = 'udp' | 'tcp'

/** Each question in flight holds a descriptor; a flood must not take those that the xDS streams need. */
const MAX_IN_FLIGHT = 1000

const log = new Logger('dns')

/** Asks the servers of resolv.conf, over the protocol the client used. Answers are passed on byte by byte. */
export class DnsUpstream {
  readonly #options: UpstreamOptions
  #inFlight = 0

  constructor(options: UpstreamOptions) {
    this.#options = options
  }

  /** Resolves to the answer, null when no server gave one. Never rejects. */
  async ask(query: Query, bytes: Uint8Array, protocol: DnsProtocol): Promise<Buffer | null> {
    if (this.#inFlight >= MAX_IN_FLIGHT) {
      log.warn(`more than ${MAX_IN_FLIGHT} questions wait for upstream, refusing one`)
      return null
    }
    this.#inFlight++
    try {
      return this.#options.parallel
        ? await this.#askAll(query, bytes, protocol)
        : await this.#askInTurn(query, bytes, protocol)
    } finally {
      this.#inFlight--
    }
  }

  async #askInTurn(query: Query, bytes: Uint8Array, protocol: DnsProtocol): Promise<Buffer | null> {
    const servers = [...this.#options.servers]
    shuffle(servers, this.#options.nextId)
    for (const server of servers) {
      try {
        return await this.#askOne(server, query, bytes, protocol)
      } catch (error) {
        log.info(`upstream failure: ${(error as Error).message}`)
      }
    }
    return null
  }

  async #askAll(query: Query, bytes: Uint8Array, protocol: DnsProtocol): Promise<Buffer | null> {
    const won = new AbortController()
    const attempts = this.#options.servers.map(async server => {
      try {
        return await this.#askOne(server, query, bytes, protocol, won.signal)
      } catch (error) {
        if (won.signal.aborted) throw error
        log.info(`parallel querying upstream failure: ${(error as Error).message}`)
        throw error
      }
    })
    try {
      return await Promise.any(attempts)
    } catch {
      log.info('all upstream failed')
      return null
    } finally {
      won.abort()
    }
  }

  #askOne(
    server: DnsEndpoint,
    query: Query,
    bytes: Uint8Array,
    protocol: DnsProtocol,
    superseded?: AbortSignal,
  ): Promise<Buffer> {
    const ask = protocol === 'udp' ? askOverUdp : askOverTcp
    return ask({ server, query, bytes, timeoutMs: this.#options.timeoutMs, superseded })
  }
}

interface Question {
  readonly server: DnsEndpoint
  readonly query: Query
  readonly bytes: Uint8Array
  readonly timeoutMs: number
  /** Another server has answered. */
  readonly superseded: AbortSignal | undefined
}

/** A socket of its own, so that the source port is random: with the id it is all that tells an answer from a forged one. */
function askOverUdp({ server, query, bytes, timeoutMs, superseded }: Question): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(server.host) ? 'udp6' : 'udp4')
    let over = false
    const end = (error: Error | null, answer?: Buffer): void => {
      if (over) return
      over = true
      clearTimeout(timer)
      socket.close()
      if (error !== null) reject(error)
      else resolve(answer as Buffer)
    }
    const timer = setTimeout(() => end(timedOut(server, 'udp', timeoutMs)), timeoutMs)
    superseded?.addEventListener('abort', () => end(new Error('another server answered')), { once: true })
    socket.once('error', error => end(error))
    socket.on('message', answer => {
      if (!isAnswerTo(query, answer)) return
      // More than was asked for: a server that does not truncate. The client could not take it either.
      if (answer.length > query.udpSize)
        end(new Error(`answer of ${answer.length} bytes from ${server.host} overflows`))
      else end(null, answer)
    })
    socket.connect(server.port, server.host, () => {
      if (!over) socket.send(bytes)
    })
  })
}

/** RFC 1035 §4.2.2: the message after its length in two bytes. */
function askOverTcp({ server, query, bytes, timeoutMs, superseded }: Question): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: server.host, port: server.port })
    let got: Buffer = Buffer.alloc(0)
    const end = (error: Error | null, answer?: Buffer): void => {
      clearTimeout(timer)
      socket.destroy()
      if (error !== null) reject(error)
      else resolve(answer as Buffer)
    }
    const timer = setTimeout(() => end(timedOut(server, 'tcp', timeoutMs)), timeoutMs)
    superseded?.addEventListener('abort', () => end(new Error('another server answered')), { once: true })
    socket.once('error', error => end(error))
    socket.once('close', () => end(new Error(`tcp ${server.host}:${server.port}: closed without an answer`)))
    socket.on('data', (chunk: Buffer) => {
      got = got.length === 0 ? chunk : Buffer.concat([got, chunk])
      if (got.length < 2 || got.length < 2 + got.readUInt16BE(0)) return
      const answer = got.subarray(2, 2 + got.readUInt16BE(0))
      if (isAnswerTo(query, answer)) end(null, answer)
      else end(new Error(`tcp ${server.host}:${server.port}: id mismatch`))
    })
    socket.write(framed(bytes))
  })
}

/** The message with its length in front, as it goes over TCP. */
export function framed(message: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(2 + message.length)
  out.writeUInt16BE(Math.min(message.length, MAX_MESSAGE), 0)
  out.set(message, 2)
  return out
}

function isAnswerTo(query: Query, answer: Buffer): boolean {
  return answer.length >= 12 && answer.readUInt16BE(0) === query.id && (answer[2]! & 0x80) !== 0
}

function timedOut(server: DnsEndpoint, protocol: DnsProtocol, timeoutMs: number): Error {
  return new Error(`${protocol} ${server.host}:${server.port}: no answer in ${timeoutMs} ms`)
}
