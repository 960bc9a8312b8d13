import { connect as connectTcp, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls, TLSSocket } from 'node:tls'
import { type BodyRule, headerValue, type Message, MessageReader } from './http1-message.ts'

/** What the client does next. A string is sent as latin1 bytes. */
export type ClientAction =
  | string
  /** Sleeps. */
  | { readonly wait: number }
  /** Goes on when that many final responses are complete (or the peer closed). */
  | { readonly responses: number }
  /** Goes on when that many bytes came in all. */
  | { readonly bytes: number }
  /** Shuts down the write side. */
  | { readonly end: true }
  /** Closes with RST. */
  | { readonly reset: true }
  /** Goes on when the peer has closed. */
  | { readonly closed: true }

export interface ClientScript {
  readonly port: number
  readonly actions: readonly ClientAction[]
  /** Final responses to wait for after the last action. */
  readonly responses: number
  /** How each response's body is framed: by the method of its request. */
  readonly methods?: readonly string[]
  /** Raw mode: bytes are collected, not parsed. */
  readonly raw?: boolean
  /** Gives up after this many ms. */
  readonly timeout: number
  /** How long to watch whether the proxy closes, ms, after the last response. */
  readonly linger: number
  readonly tls?: ConnectionOptions
  /** TLS sessions that the server gives are added here. */
  readonly sessions?: Buffer[]
}

/** How the connection stood when the script ended. */
export type Fate = 'kept' | 'closed' | 'reset' | 'timeout' | 'refused' | 'closed by client'

export interface ClientResult {
  readonly messages: readonly Message[]
  readonly raw: Buffer
  /** Bytes after a switch of protocols, or that are no message. */
  readonly tail: Buffer
  readonly fate: Fate
  /** TLS handshake outcome: `TLSv1.3 alpn=h2`, or the alert. */
  readonly tls: string | null
}

/** Plays one script over one connection. Never throws for what the peer does. */
export async function playHttp1(script: ClientScript): Promise<ClientResult> {
  const session = new ClientSession(script)
  const deadline = Date.now() + script.timeout
  let fate = await session.connect(deadline)
  if (fate === null) fate = await session.play(deadline)
  session.destroy()
  return { messages: session.reader.messages, raw: session.raw(), tail: session.tail(), fate, tls: session.tlsOutcome }
}

class ClientSession {
  readonly reader: MessageReader
  tlsOutcome: string | null = null
  private readonly script: ClientScript
  private readonly received: Buffer[] = []
  private receivedBytes = 0
  private peerEnded = false
  private failure: string | null = null
  private closedByUs = false
  private socket: Socket | null = null
  private wake: (() => void) | null = null

  constructor(script: ClientScript) {
    this.script = script
    this.reader = new MessageReader(index => ruleFor(script.methods?.[index] ?? 'GET'))
  }

  async connect(deadline: number): Promise<Fate | null> {
    const { port, tls } = this.script
    let ready = false
    const onReady = () => {
      ready = true
      this.signal()
    }
    // Half-open sockets: the script decides when the client side closes.
    const socket = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    const stream = tls === undefined ? socket : connectTls({ ...tls, socket, rejectUnauthorized: false })
    stream.once(tls === undefined ? 'connect' : 'secureConnect', onReady)
    this.socket = stream
    stream.on('session', (session: Buffer) => this.script.sessions?.push(session))
    this.listen(stream)
    await this.until(() => ready || this.over, deadline)
    if (ready && stream instanceof TLSSocket) {
      this.tlsOutcome = `${stream.getProtocol()} alpn=${stream.alpnProtocol || '-'}${stream.isSessionReused() ? ' resumed' : ''}`
    }
    if (ready) return null
    if (tls !== undefined) this.tlsOutcome = `handshake failed: ${this.failure ?? 'closed'}`
    if (this.failure === 'ECONNREFUSED') return 'refused'
    return this.fateNow() ?? 'timeout'
  }

  async play(deadline: number): Promise<Fate> {
    for (const action of this.script.actions) await this.act(action, deadline)
    if (this.closedByUs) return 'closed by client'
    await this.until(() => this.reader.finals >= this.script.responses || this.over, deadline)
    if (!this.over && this.reader.finals < this.script.responses) return 'timeout'
    const watch = this.announcedClose() ? Math.max(this.script.linger, 2500) : this.script.linger
    await this.until(() => this.over, Math.min(Date.now() + watch, Math.max(deadline, Date.now() + 1)))
    return this.fateNow() ?? 'kept'
  }

  raw(): Buffer {
    return Buffer.concat(this.received)
  }

  tail(): Buffer {
    return this.reader.isUpgraded ? this.reader.tail : this.reader.leftover
  }

  destroy(): void {
    this.socket?.destroy()
  }

  private get over(): boolean {
    return this.peerEnded || this.failure !== null
  }

  private fateNow(): Fate | null {
    if (this.failure !== null) return this.failure === 'ECONNRESET' || this.failure === 'EPIPE' ? 'reset' : 'closed'
    return this.peerEnded ? 'closed' : null
  }

  private listen(socket: Socket): void {
    socket.on('data', (bytes: Buffer) => {
      this.received.push(bytes)
      this.receivedBytes += bytes.length
      if (this.script.raw !== true) this.reader.push(bytes)
      this.signal()
    })
    socket.on('end', () => {
      this.peerEnded = true
      this.reader.end()
      this.signal()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.failure = error.code ?? error.message
      this.signal()
    })
    socket.on('close', () => {
      this.peerEnded = true
      this.signal()
    })
  }

  private async act(action: ClientAction, deadline: number): Promise<void> {
    const socket = this.socket!
    if (typeof action === 'string') {
      if (!this.over) socket.write(Buffer.from(action, 'latin1'))
    } else if ('wait' in action) await this.until(() => false, Math.min(deadline, Date.now() + action.wait))
    else if ('responses' in action) {
      await this.until(() => this.reader.finals >= action.responses || this.reader.isUpgraded || this.over, deadline)
    } else if ('bytes' in action) await this.until(() => this.receivedBytes >= action.bytes || this.over, deadline)
    else if ('end' in action) socket.end()
    else if ('closed' in action) await this.until(() => this.over, deadline)
    else {
      this.closedByUs = true
      socket.resetAndDestroy()
    }
  }

  private announcedClose(): boolean {
    const last = this.reader.messages.at(-1)
    if (last === undefined || this.script.raw === true) return false
    return /close/i.test(headerValue(last, 'connection') ?? '')
  }

  private signal(): void {
    this.wake?.()
  }

  private until(done: () => boolean, deadline: number): Promise<void> {
    return new Promise(resolve => {
      const finish = () => {
        clearTimeout(timer)
        this.wake = null
        resolve()
      }
      const timer = setTimeout(finish, Math.max(0, deadline - Date.now()))
      this.wake = () => {
        if (done()) finish()
      }
      this.wake()
    })
  }
}

function ruleFor(method: string): BodyRule {
  if (method === 'HEAD') return 'response-to-head'
  return method === 'CONNECT' ? 'response-to-connect' : 'response'
}
