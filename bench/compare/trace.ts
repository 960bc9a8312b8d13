import { CompareError } from './options.ts'

/** One request as both proxies get it, and what the upstream is to say to it. */
export interface TraceEntry {
  readonly method: string
  readonly url: URL
  /** In the order of the trace; without what belongs to a connection. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
  /** How it was recorded; lists of URLs are HTTP/1.1. */
  readonly http2: boolean
  readonly answer: Answer
}

export interface Answer {
  readonly status: number
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
  /** Where the upstream breaks off: before the answer, or after what there is of its body. */
  readonly breaks: 'never' | 'before' | 'within'
}

export interface Trace {
  readonly entries: readonly TraceEntry[]
  /** What was left out, and why. */
  readonly notes: readonly string[]
}

/** A day that no proxy would write by itself: a date passed through is told from a date made. */
export const SOME_DATE = 'Thu, 01 Jan 1970 00:00:00 GMT'

const DEFAULT_ANSWER: Answer = {
  status: 200,
  headers: [
    ['content-type', 'text/plain'],
    ['date', SOME_DATE],
    ['server', 'recorder'],
  ],
  body: Buffer.from('hello from the recorder\n'),
  breaks: 'never',
}

/** A HAR (JSON with `log.entries`) or a list of URLs. Throws CompareError. */
export function readTrace(text: string, name: string, limit: number): Trace {
  const entries: TraceEntry[] = []
  const notes: string[] = []
  const all = text.trimStart().startsWith('{') ? fromHar(text, name, notes) : fromList(text, name)
  for (const entry of all) {
    if (entry !== null && entries.length < limit) entries.push(entry)
  }
  const more = all.filter(entry => entry !== null).length - entries.length
  if (more > 0) notes.push(`${more} requests beyond --limit ${limit} were left out`)
  if (entries.length === 0) throw new CompareError(`${name}: no requests in it`)
  return { entries, notes }
}

/** The bytes of the request, the same for both proxies. */
export function requestBytes(entry: TraceEntry): string {
  const lines = [`${entry.method} ${entry.url.pathname}${entry.url.search} HTTP/1.1`, `host: ${entry.url.host}`]
  for (const [name, value] of headersFor(entry, false)) lines.push(`${name}: ${value}`)
  if (entry.body.length > 0 || /^(POST|PUT|PATCH)$/.test(entry.method))
    lines.push(`content-length: ${entry.body.length}`)
  return `${lines.join('\r\n')}\r\n\r\n${entry.body.toString('latin1')}`
}

/** `te` belongs to a connection of HTTP/1.1, and to a request of HTTP/2. */
export function headersFor({ headers }: TraceEntry, http2: boolean): TraceEntry['headers'] {
  return http2 ? headers : headers.filter(([name]) => !/^te$/i.test(name))
}

function fromList(text: string, name: string): TraceEntry[] {
  const entries: TraceEntry[] = []
  for (const line of text.split('\n')) {
    const words = line.trim().split(/\s+/)
    if (words[0] === '' || words[0]!.startsWith('#')) continue
    const [method, url] = words.length > 1 ? [words[0]!, words[1]!] : ['GET', words[0]!]
    entries.push({
      method,
      url: parseUrl(url, name),
      headers: [],
      body: Buffer.alloc(0),
      http2: false,
      answer: DEFAULT_ANSWER,
    })
  }
  return entries
}

interface HarPair {
  readonly name: string
  readonly value: string
}

interface HarEntry {
  readonly request?: {
    readonly method?: string
    readonly url?: string
    /** `HTTP/1.1`, `HTTP/2`, `h2`, `http/2.0`; browsers differ. */
    readonly httpVersion?: string
    readonly headers?: readonly HarPair[]
    readonly postData?: { readonly text?: string; readonly encoding?: string }
  }
  readonly response?: {
    readonly status?: number
    readonly headers?: readonly HarPair[]
    readonly content?: { readonly text?: string; readonly encoding?: string }
    /** Chrome: why there is no answer, or not all of it; the status is 0 then, or that of what came. */
    readonly _error?: string | null
  }
}

function fromHar(text: string, name: string, notes: string[]): (TraceEntry | null)[] {
  let log: { entries?: unknown } | undefined
  try {
    log = (JSON.parse(text) as { log?: { entries?: unknown } }).log
  } catch (error) {
    throw new CompareError(`${name}: ${(error as Error).message}`)
  }
  if (!Array.isArray(log?.entries)) throw new CompareError(`${name}: no log.entries: this is no HAR`)
  return (log.entries as HarEntry[]).map((entry, i) => fromHarEntry(entry, `${name}, entry ${i + 1}`, notes))
}

function fromHarEntry({ request, response }: HarEntry, where: string, notes: string[]): TraceEntry | null {
  if (request?.url === undefined || request.method === undefined) throw new CompareError(`${where}: no request`)
  const given = request.headers ?? []
  if (given.some(({ name }) => /^upgrade$/i.test(name)) || request.method === 'CONNECT') {
    notes.push(`${where}: upgrades and CONNECT are not compared`)
    return null
  }
  return {
    method: request.method,
    url: parseUrl(request.url, where),
    headers: pairs(given, CONNECTION_HEADERS),
    body: decode(request.postData),
    http2: isHttp2(request.httpVersion ?? '', where, notes),
    answer: response === undefined ? DEFAULT_ANSWER : answerOf(response),
  }
}

function isHttp2(version: string, where: string, notes: string[]): boolean {
  if (/^(h3|http\/3)/i.test(version)) notes.push(`${where}: recorded over HTTP/3, taken as HTTP/1.1`)
  return /^(h2|http\/2)/i.test(version)
}

function answerOf(response: NonNullable<HarEntry['response']>): Answer {
  const broken = typeof response._error === 'string' && response._error !== ''
  if (!isFinal(response.status ?? 0)) return broken ? { ...DEFAULT_ANSWER, breaks: 'before' } : DEFAULT_ANSWER
  // The text of a HAR is decoded: what described its coding and its length no longer holds.
  const headers = pairs(
    response.headers ?? [],
    /^(:.*|connection|keep-alive|proxy-connection|http2-settings|transfer-encoding|content-length|content-encoding|te|upgrade|trailer)$/i,
  )
  const breaks = broken ? 'within' : 'never'
  return { status: response.status!, headers, body: decode(response.content), breaks }
}

/** Of HTTP (RFC 9110 §15), and no interim one. */
function isFinal(status: number): boolean {
  return Number.isInteger(status) && status >= 200 && status <= 599
}

const CONNECTION_HEADERS =
  /^(:.*|host|connection|keep-alive|proxy-connection|http2-settings|content-length|transfer-encoding|expect)$/i

function pairs(from: readonly HarPair[], without: RegExp): (readonly [string, string])[] {
  return from.flatMap(({ name, value }) =>
    without.test(name) || isForbiddenTe(name, value) || !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)
      ? []
      : [[name, value.replace(/[\r\n\0]/g, ' ')] as const],
  )
}

/** RFC 9113 §8.2.2: `trailers` is all that HTTP/2 has of it. */
function isForbiddenTe(name: string, value: string): boolean {
  return /^te$/i.test(name) && value !== 'trailers'
}

function decode(content: { readonly text?: string; readonly encoding?: string } | undefined): Buffer {
  return Buffer.from(content?.text ?? '', content?.encoding === 'base64' ? 'base64' : 'utf8')
}

function parseUrl(text: string, where: string): URL {
  try {
    return new URL(text)
  } catch {
    throw new CompareError(`${where}: ${text} is no URL`)
  }
}
