import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { parseArgs } from 'node:util'
import type { RequestText } from './http2-request.ts'
import type { Endpoint } from './socket.ts'

export const USAGE = `usage: open-loop --url URL --rate R [--connections C] [--seconds S] [--warmup S] [--h2] …

Sends R requests per second, evenly, whatever became of those before, and measures every latency from the time the
request was due. Prints one line of JSON.

  --url URL          http://HOST:PORT/PATH or https://… (certificates are not checked)
  --rate R           requests per second in all; most: the next when one is answered, which shows what saturates a proxy
                     and nothing about latencies
  --connections C    connections (default 32)
  --seconds S        how long to measure (default 10)
  --warmup S         before that, without being counted (default 1)
  --grace S          how long to wait for answers afterwards (default 5)
  --h2               HTTP/2 (prior knowledge, or ALPN over TLS)
  --streams N        most streams per HTTP/2 connection (default 100)
  --method M         default GET, or POST with a body
  --header 'N: V'    may be repeated; host replaces that of the URL
  --requests FILE    requests in turn instead: JSON list of {method, host, path, headers, body}
  --body TEXT        or --body-file FILE; with --h2 no body is larger than 16 KiB
  --cert FILE --key FILE   client certificate
  --sni NAME         server name of https (default: the URL's host where it is a name, else none)
  --pacing P         spin (default): precise to some microseconds, needs a core of its own; wake: late by 0.1 to 0.2 ms, for
                     a core that the upstream shares
`

/** Seconds and requests per second as typed; everything else ready for use. */
export interface OpenLoopOptions {
  readonly endpoint: Endpoint
  readonly request: RequestText
  /** Sent in turn; `request` alone, if no file of requests was given. */
  readonly requests: readonly RequestText[]
  readonly h2: boolean
  readonly rate: number | 'most'
  readonly connections: number
  readonly streams: number
  readonly seconds: number
  readonly warmup: number
  readonly grace: number
  readonly pacing: 'spin' | 'wake'
}

/** The command line is wrong; the message says how. */
export class UsageError extends Error {}

export function parseOptions(argv: readonly string[]): OpenLoopOptions {
  let values: ReturnType<typeof parse>
  try {
    values = parse(argv)
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
  if (values.url === undefined) throw new UsageError('--url is missing')
  if (values.rate === undefined) throw new UsageError('--rate is missing')
  let url: URL
  try {
    url = new URL(values.url)
  } catch {
    throw new UsageError(`--url ${values.url} is no URL`)
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new UsageError(`--url: ${url.protocol} is not spoken`)
  const tls = url.protocol === 'https:'
  if (values.pacing !== 'spin' && values.pacing !== 'wake') throw new UsageError('--pacing is spin or wake')
  if ((values.cert === undefined) !== (values.key === undefined))
    throw new UsageError('--cert and --key belong together')
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (values.sni !== undefined && (!tls || isIP(values.sni) > 0)) throw new UsageError('--sni is a name, and for https')
  const servername = values.sni ?? (isIP(host) > 0 ? '' : host)
  const identity =
    values.cert === undefined ? {} : { cert: readFileSync(values.cert, 'utf8'), key: readFileSync(values.key!, 'utf8') }
  const body =
    values['body-file'] === undefined ? Buffer.from(values.body ?? '', 'latin1') : readFileSync(values['body-file'])
  const headers = values.header.map(headerField)
  const hostHeader = headers.find(([name]) => name === 'host')
  const scheme = tls ? 'https' : 'http'
  const request: RequestText = {
    method: values.method ?? (body.length > 0 ? 'POST' : 'GET'),
    scheme,
    authority: hostHeader === undefined ? url.host : hostHeader[1],
    path: url.pathname + url.search,
    headers: headers.filter(([name]) => name !== 'host'),
    body,
  }
  const requests = values.requests === undefined ? [request] : readRequests(values.requests, scheme)
  if (values.h2 && requests.some(one => one.body.length > 16384))
    throw new UsageError('bodies of more than 16 KiB only without --h2')
  return {
    endpoint: {
      host,
      port: url.port === '' ? (tls ? 443 : 80) : Number(url.port),
      tls: tls ? { alpn: values.h2 ? 'h2' : 'http/1.1', servername, ...identity } : null,
    },
    request,
    requests,
    h2: values.h2,
    rate: values.rate === 'most' ? 'most' : positive('rate', values.rate),
    connections: Math.ceil(positive('connections', values.connections)),
    streams: Math.ceil(positive('streams', values.streams)),
    seconds: positive('seconds', values.seconds),
    warmup: positive('warmup', values.warmup, true),
    grace: positive('grace', values.grace, true),
    pacing: values.pacing,
  }
}

/** All requests of a HTTP/1.1 run are these bytes. */
export function http1Request(request: RequestText): Buffer {
  const lines = [`${request.method} ${request.path} HTTP/1.1`, `host: ${request.authority}`]
  for (const [name, value] of request.headers) lines.push(`${name}: ${value}`)
  if (request.body.length > 0) lines.push(`content-length: ${request.body.length}`)
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), request.body])
}

/** Requests with headers by name, as the bench and the comparison write them. Throws UsageError. */
function readRequests(file: string, scheme: string): RequestText[] {
  let all: unknown
  try {
    all = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new UsageError(`--requests ${file}: ${(error as Error).message}`)
  }
  if (!Array.isArray(all) || all.length === 0) throw new UsageError(`--requests ${file}: no list of requests`)
  return (all as RequestFile[]).map(({ method, host, path, headers, body }) => ({
    method,
    scheme,
    authority: host,
    path,
    headers: Object.entries(headers ?? {}).map(([name, value]) => headerField(`${name}: ${value}`)),
    body: Buffer.from(body ?? ''),
  }))
}

interface RequestFile {
  readonly method: string
  readonly host: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

function parse(argv: readonly string[]) {
  return parseArgs({
    args: [...argv],
    options: {
      url: { type: 'string' },
      rate: { type: 'string' },
      connections: { type: 'string', default: '32' },
      streams: { type: 'string', default: '100' },
      seconds: { type: 'string', default: '10' },
      warmup: { type: 'string', default: '1' },
      grace: { type: 'string', default: '5' },
      h2: { type: 'boolean', default: false },
      method: { type: 'string' },
      header: { type: 'string', multiple: true, default: [] },
      body: { type: 'string' },
      'body-file': { type: 'string' },
      requests: { type: 'string' },
      cert: { type: 'string' },
      key: { type: 'string' },
      sni: { type: 'string' },
      pacing: { type: 'string', default: 'spin' },
    },
  }).values
}

function headerField(text: string): readonly [string, string] {
  const colon = text.indexOf(':')
  if (colon < 1 || /[\r\n]/.test(text)) throw new UsageError(`--header "${text}" is not "name: value"`)
  return [text.slice(0, colon).trim().toLowerCase(), text.slice(colon + 1).trim()]
}

function positive(name: string, text: string, orZero = false): number {
  const value = Number(text)
  if (!Number.isFinite(value) || value < 0 || (value === 0 && !orZero)) {
    throw new UsageError(`--${name} ${text}: a positive number is needed`)
  }
  return value
}
