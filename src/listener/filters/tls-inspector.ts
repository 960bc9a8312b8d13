import type { envoy } from '../../config/gen/messages.d.ts'
import type { WorkerServices } from '../../config/services.ts'
import { defineSupport } from '../../config/support.ts'
import { HelloState, MAX_CLIENT_HELLO, parseClientHello } from '../../io/transport-sockets/client-hello.ts'
import { inspectorErrorText } from '../../io/transport-sockets/tls-errors.ts'
import type { Counter, Histogram } from '../../stats/stats.ts'
import {
  type ListenerFilter,
  type ListenerFilterExtension,
  ListenerVerdict,
  type PendingConnection,
} from './listener-filter.ts'

type Proto = envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector

export interface TlsInspectorConfig {
  readonly maxClientHello: number
  readonly closeOnErrors: boolean
}

const support = defineSupport<Proto>('envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector', {
  // Only how much is read at first: everything that is there is read anyway.
  initial_read_buffer_size: 'yes',
  close_connection_on_client_hello_parsing_errors: 'yes',
  max_client_hello_size: 'yes',
  enable_ja3_fingerprinting: 'reject',
  enable_ja4_fingerprinting: 'reject',
})

/** envoy.filters.listener.tls_inspector */
export const tlsInspectorFactory: ListenerFilterExtension<Proto, TlsInspectorConfig> = {
  category: 'envoy.filters.listener',
  name: 'envoy.filters.listener.tls_inspector',
  typeUrls: ['envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector'],
  parse(proto, at, warnings) {
    const set = Object.fromEntries(Object.entries(proto).filter(([, value]) => value !== false))
    support.check(set as Proto, at, warnings)
    return {
      maxClientHello: Math.min(proto.max_client_hello_size ?? MAX_CLIENT_HELLO, MAX_CLIENT_HELLO),
      closeOnErrors: proto.close_connection_on_client_hello_parsing_errors ?? false,
    }
  },
  create: (config, services) => new TlsInspector(config, services),
}

class TlsInspector implements ListenerFilter {
  readonly maxBytes: number
  readonly #config: TlsInspectorConfig
  readonly #tlsFound: Counter
  readonly #tlsNotFound: Counter
  readonly #sniFound: Counter
  readonly #sniNotFound: Counter
  readonly #alpnFound: Counter
  readonly #alpnNotFound: Counter
  readonly #tooLarge: Counter
  readonly #bytes: Histogram

  constructor(config: TlsInspectorConfig, services: WorkerServices) {
    this.#config = config
    // Records add 5 bytes each; a client that cuts its hello very small is bounded here.
    this.maxBytes = config.maxClientHello * 2
    const scope = services.stats.scope('tls_inspector.')
    this.#tlsFound = scope.counter('tls_found')
    this.#tlsNotFound = scope.counter('tls_not_found')
    this.#sniFound = scope.counter('sni_found')
    this.#sniNotFound = scope.counter('sni_not_found')
    this.#alpnFound = scope.counter('alpn_found')
    this.#alpnNotFound = scope.counter('alpn_not_found')
    this.#tooLarge = scope.counter('client_hello_too_large')
    this.#bytes = scope.histogram('bytes_processed')
  }

  inspect({ connection, bytes }: PendingConnection): ListenerVerdict {
    const { state, hello } = parseClientHello(bytes, this.#config.maxClientHello)
    if (state === HelloState.NeedMore) return ListenerVerdict.NeedMore
    this.#bytes.record(bytes.length)
    if (state === HelloState.TooLarge) {
      this.#tooLarge.inc()
      return ListenerVerdict.Reject
    }
    if (hello === null) {
      this.#tlsNotFound.inc()
      connection.inspectorFailure = inspectorErrorText(bytes)
      return state === HelloState.Malformed && this.#config.closeOnErrors
        ? ListenerVerdict.Reject
        : ListenerVerdict.Continue
    }
    this.#tlsFound.inc()
    connection.transportProtocol = 'tls'
    connection.clientHello = hello
    if (hello.serverName === '') this.#sniNotFound.inc()
    else {
      this.#sniFound.inc()
      connection.requestedServerName = hello.serverName
    }
    if (hello.alpn.length === 0) this.#alpnNotFound.inc()
    else {
      this.#alpnFound.inc()
      connection.applicationProtocols = hello.alpn
    }
    return ListenerVerdict.Continue
  }
}
