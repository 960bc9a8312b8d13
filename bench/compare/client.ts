import { isIP } from 'node:net'
import { playHttp1 } from '../wire/http1-client.ts'
import { askHttp2, http2ErrorName } from '../wire/http2-client.ts'
import type { Exchange } from './result.ts'
import type { RewrittenListener } from './rewrite-listener.ts'
import { requestBytes, type TraceEntry } from './trace.ts'

/** How a request is sent. */
export interface Manner {
  readonly http2: boolean
  readonly timeoutSeconds: number
  /** Shown to listeners with TLS that ask for a certificate; PEM. */
  readonly identity: { readonly cert: string; readonly key: string } | null
}

/** What a client sees of an exchange. */
export type Seen = Pick<Exchange, 'status' | 'headers' | 'body' | 'trailers' | 'connection'>

/** Sends one request over a connection of its own. */
export function send(entry: TraceEntry, place: RewrittenListener, manner: Manner): Promise<Seen> {
  return manner.http2 ? overHttp2(entry, place, manner) : overHttp1(entry, place, manner)
}

/** Where both are spoken, the URL decides. */
export function usesTls(entry: TraceEntry, place: RewrittenListener): boolean {
  return place.tls && (!place.plain || entry.url.protocol === 'https:')
}

/** SNI; '' where the URL has an address, which is no name (RFC 6066 §3). */
export function serverName({ url }: TraceEntry): string {
  return isIP(url.hostname.replace(/^\[|\]$/g, '')) > 0 ? '' : url.hostname
}

/** A codec of one version leaves no choice; else what the user wants, and what the trace has. */
export function usesHttp2(entry: TraceEntry, place: RewrittenListener, wanted: boolean): boolean {
  if (place.codec === 'HTTP1' || place.codec === 'HTTP2') return place.codec === 'HTTP2'
  return wanted || entry.http2
}

async function overHttp1(entry: TraceEntry, place: RewrittenListener, manner: Manner): Promise<Seen> {
  const result = await playHttp1({
    port: place.port,
    actions: [requestBytes(entry)],
    responses: 1,
    methods: [entry.method],
    timeout: manner.timeoutSeconds * 1000,
    linger: 0,
    ...(usesTls(entry, place)
      ? { tls: { servername: serverName(entry), ALPNProtocols: ['http/1.1'], ...manner.identity } }
      : {}),
  })
  const message = result.messages.at(-1)
  const complete = message?.complete !== false
  return {
    status: message === undefined ? `no answer: ${result.tls ?? result.fate}` : message.startLine,
    headers: message?.headers ?? [],
    body: message?.body.toString('latin1') ?? '',
    trailers: message?.trailers ?? [],
    connection: complete ? result.fate : `${result.fate}, answer incomplete`,
  }
}

async function overHttp2(entry: TraceEntry, place: RewrittenListener, manner: Manner): Promise<Seen> {
  const tls = usesTls(entry, place)
  const answer = await askHttp2({
    port: place.port,
    method: entry.method,
    scheme: tls ? 'https' : 'http',
    authority: entry.url.host,
    path: entry.url.pathname + entry.url.search,
    headers: entry.headers,
    body: entry.body,
    serverName: serverName(entry),
    timeout: manner.timeoutSeconds * 1000,
    identity: manner.identity,
  })
  const { fate, reset, goaway } = answer
  const ends: string[] = []
  if (reset !== null) ends.push(`stream reset with ${http2ErrorName(reset)}`)
  if (goaway !== null) ends.push(`GOAWAY with ${http2ErrorName(goaway)}`)
  const why = answer.unsent ? 'not to be sent over HTTP/2' : ends.length > 0 ? ends.join(', ') : (answer.tls ?? fate)
  return {
    status: answer.status === null ? `no answer: ${why}` : `HTTP/2 ${answer.status}`,
    headers: answer.headers,
    body: answer.body.toString('latin1'),
    trailers: answer.trailers,
    connection: [fate, ...(answer.complete || answer.status === null ? [] : ['answer incomplete']), ...ends].join(', '),
  }
}
