/**
 * A tolerant HTTP/1.x message reader for test peers. It keeps every head line as it came (case, blanks, order) and
 * understands content-length, chunked and read-until-close, nothing else: test peers must see what a proxy really sent.
 */
export interface Message {
  readonly startLine: string
  /** Header lines as received, without the line end. */
  readonly headers: readonly string[]
  framing: 'none' | 'length' | 'chunked' | 'close'
  body: Buffer
  /** Trailer lines of a chunked body. */
  trailers: string[]
  complete: boolean
}

export type BodyRule = 'request' | 'response' | 'response-to-head' | 'response-to-connect'

const CRLF = Buffer.from('\r\n')
const END_OF_HEAD = Buffer.from('\r\n\r\n')

export class MessageReader {
  /** Messages in order; the last one may be incomplete. */
  readonly messages: Message[] = []
  /** Bytes after an upgrade (101, or 200 to CONNECT) or after `stop()`. */
  tail: Buffer = Buffer.alloc(0)
  private buffered: Buffer = Buffer.alloc(0)
  private current: Message | null = null
  private remaining = 0
  private chunkState: 'size' | 'data' | 'trailers' = 'size'
  private upgraded = false
  private readonly ruleOf: (index: number) => BodyRule
  private readonly onHead: ((message: Message) => void) | null

  /** `ruleOf(n)`: how the body of the n-th message is framed. Informational responses do not count. */
  constructor(ruleOf: (index: number) => BodyRule, onHead: ((message: Message) => void) | null = null) {
    this.ruleOf = ruleOf
    this.onHead = onHead
  }

  get finals(): number {
    let count = 0
    for (const message of this.messages) if (message.complete && !isInformational(message)) count++
    return count
  }

  get isUpgraded(): boolean {
    return this.upgraded
  }

  /** Bytes that do not form a message yet. */
  get leftover(): Buffer {
    return this.current === null ? this.buffered : Buffer.alloc(0)
  }

  push(bytes: Buffer): void {
    if (this.upgraded) {
      this.tail = Buffer.concat([this.tail, bytes])
      return
    }
    this.buffered = Buffer.concat([this.buffered, bytes])
    while (this.step());
  }

  /** The peer closed: completes a read-until-close body. */
  end(): void {
    if (this.current !== null && this.current.framing === 'close') this.finish(this.current)
  }

  private step(): boolean {
    if (this.upgraded) {
      this.tail = Buffer.concat([this.tail, this.buffered])
      this.buffered = Buffer.alloc(0)
      return false
    }
    return this.current === null ? this.readHead() : this.readBody(this.current)
  }

  private readHead(): boolean {
    const end = this.buffered.indexOf(END_OF_HEAD)
    if (end < 0) return false
    const lines = this.buffered.toString('latin1', 0, end).split('\r\n')
    this.buffered = this.buffered.subarray(end + 4)
    const message: Message = {
      startLine: lines[0] ?? '',
      headers: lines.slice(1),
      framing: 'none',
      body: Buffer.alloc(0),
      trailers: [],
      complete: false,
    }
    this.decideFraming(message)
    this.messages.push(message)
    this.onHead?.(message)
    this.current = message
    if (message.framing === 'none') this.finish(message)
    return true
  }

  private decideFraming(message: Message): void {
    let index = 0
    for (const earlier of this.messages) if (!isInformational(earlier)) index++
    const rule = this.ruleOf(index)
    const status = statusOf(message)
    if (rule !== 'request' && status === 101) {
      this.upgraded = true
      return
    }
    if (rule !== 'request' && (isInformational(message) || status === 204 || status === 304)) return
    if (rule === 'response-to-connect' && status === 200) {
      this.upgraded = true
      return
    }
    if (rule === 'response-to-head') return
    const length = headerValue(message, 'content-length')
    if (/chunked/i.test(headerValue(message, 'transfer-encoding') ?? '')) {
      message.framing = 'chunked'
      this.chunkState = 'size'
    } else if (length !== undefined) {
      this.remaining = Number(length)
      message.framing = this.remaining > 0 ? 'length' : 'none'
    } else if (rule !== 'request') message.framing = 'close'
  }

  private readBody(message: Message): boolean {
    if (this.buffered.length === 0) return false
    if (message.framing === 'chunked') return this.readChunk(message)
    const take = message.framing === 'close' ? this.buffered.length : Math.min(this.remaining, this.buffered.length)
    this.appendBody(message, take)
    this.remaining -= take
    if (message.framing === 'length' && this.remaining === 0) this.finish(message)
    return true
  }

  private readChunk(message: Message): boolean {
    if (this.chunkState === 'data') {
      // The two bytes after the data are the chunk's CRLF.
      if (this.buffered.length < this.remaining + 2) {
        const take = Math.min(this.remaining, this.buffered.length)
        this.appendBody(message, take)
        this.remaining -= take
        return false
      }
      this.appendBody(message, this.remaining)
      this.buffered = this.buffered.subarray(2)
      this.chunkState = 'size'
      return true
    }
    const lineEnd = this.buffered.indexOf(CRLF)
    if (lineEnd < 0) return false
    const line = this.buffered.toString('latin1', 0, lineEnd)
    this.buffered = this.buffered.subarray(lineEnd + 2)
    if (this.chunkState === 'trailers') {
      if (line === '') this.finish(message)
      else message.trailers.push(line)
      return true
    }
    this.remaining = Number.parseInt(line, 16)
    this.chunkState = this.remaining === 0 ? 'trailers' : 'data'
    return true
  }

  private appendBody(message: Message, count: number): void {
    message.body = Buffer.concat([message.body, this.buffered.subarray(0, count)])
    this.buffered = this.buffered.subarray(count)
  }

  private finish(message: Message): void {
    message.complete = true
    this.current = null
  }
}

/** First value of a header, by case-insensitive name. */
export function headerValue(message: Message, name: string): string | undefined {
  for (const line of message.headers) {
    const colon = line.indexOf(':')
    if (colon > 0 && line.slice(0, colon).toLowerCase() === name) return line.slice(colon + 1).trim()
  }
  return undefined
}

export function statusOf(message: Message): number {
  const found = /^HTTP\/\d\.\d (\d{3})/.exec(message.startLine)
  return found === null ? 0 : Number(found[1])
}

function isInformational(message: Message): boolean {
  const status = statusOf(message)
  return status >= 100 && status < 200 && status !== 101
}
