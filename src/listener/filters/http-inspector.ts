import type { envoy } from '../../config/gen/messages.d.ts'
import type { WorkerServices } from '../../config/services.ts'
import type { Counter } from '../../stats/stats.ts'
import {
  type ListenerFilter,
  type ListenerFilterExtension,
  ListenerVerdict,
  type PendingConnection,
} from './listener-filter.ts'

type Proto = envoy.extensions.filters.listener.http_inspector.v3.HttpInspector

/** envoy.filters.listener.http_inspector */
export const httpInspectorFactory: ListenerFilterExtension<Proto, null> = {
  category: 'envoy.filters.listener',
  name: 'envoy.filters.listener.http_inspector',
  typeUrls: ['envoy.extensions.filters.listener.http_inspector.v3.HttpInspector'],
  parse: () => null,
  create: (_, services) => new HttpInspector(services),
}

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
/** Config::MAX_INSPECT_SIZE. */
const MAX_INSPECT = 64 * 1024
const METHODS = (
  'GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH ACL BIND CHECKOUT COPY LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR ' +
  'MKCOL MOVE NOTIFY PROPFIND PROPPATCH PURGE REBIND REPORT SEARCH SOURCE SUBSCRIBE UNBIND UNLINK UNLOCK UNSUBSCRIBE'
).split(' ')
const HTTP10 = ['http/1.0']
const HTTP11 = ['http/1.1']
const H2C = ['h2c']

class HttpInspector implements ListenerFilter {
  readonly maxBytes = MAX_INSPECT
  readonly #http10: Counter
  readonly #http11: Counter
  readonly #http2: Counter
  readonly #notFound: Counter

  constructor(services: WorkerServices) {
    const scope = services.stats.scope('http_inspector.')
    this.#http10 = scope.counter('http10_found')
    this.#http11 = scope.counter('http11_found')
    this.#http2 = scope.counter('http2_found')
    this.#notFound = scope.counter('http_not_found')
    scope.counter('read_error')
  }

  inspect({ connection, bytes }: PendingConnection): ListenerVerdict {
    // What is encrypted tells its protocols in the handshake.
    if (connection.transportProtocol === 'tls') return ListenerVerdict.Continue
    if (bytes.length === 0) return ListenerVerdict.NeedMore
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const protocol = detect(text)
    if (protocol === undefined) return ListenerVerdict.NeedMore
    if (protocol === HTTP10) this.#http10.inc()
    else if (protocol === HTTP11) this.#http11.inc()
    else if (protocol === H2C) this.#http2.inc()
    else this.#notFound.inc()
    if (protocol !== null) connection.applicationProtocols = protocol
    return ListenerVerdict.Continue
  }
}

/** Null = not HTTP; undefined = cannot say yet. */
function detect(bytes: Buffer): string[] | null | undefined {
  const start = bytes.toString('latin1', 0, PREFACE.length)
  if (PREFACE.startsWith(start) || start.startsWith(PREFACE)) {
    return start.length < PREFACE.length ? undefined : H2C
  }
  const blank = start.indexOf(' ')
  if (blank < 0) return METHODS.some(m => m.startsWith(start)) ? undefined : null
  if (!METHODS.includes(start.slice(0, blank))) return null
  const end = bytes.indexOf(10)
  if (end < 0) return bytes.length >= MAX_INSPECT ? null : undefined
  const line = bytes.toString('latin1', blank + 1, bytes[end - 1] === 13 ? end - 1 : end)
  const match = /^[^\s\0]+ HTTP\/1\.([01])$/.exec(line)
  if (match === null) return null
  return match[1] === '1' ? HTTP11 : HTTP10
}
