import { ConfigError } from '../../base/errors.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { type GrpcServiceConfig, parseGrpcService } from '../../config/grpc-service.ts'
import { type MetadataMatchConfig, parseMetadataMatcher } from '../../config/matcher.ts'
import type { GrpcClient, PendingCall } from '../../config/services.ts'
import { defineSupport } from '../../config/support.ts'
import { MetadataMatch } from '../../config/value-match.ts'
import { WireWriter } from '../../config/wire-writer.ts'
import { type AuthzAnswer, type AuthzUser, Decision, type HeaderChange } from '../../http/filters/ext-authz/answer.ts'
import { labelsOf, metadata, writePeers, writeTlsSession } from '../../http/filters/ext-authz/check-attributes.ts'
import { CHECK_METHOD, GrpcCheck } from '../../http/filters/ext-authz/grpc-check.ts'
import { ShadowDecision } from '../../http/filters/ext-authz/shadow-decision.ts'
import { keepChunk } from '../../io/chunk-pool.ts'
import { CloseHow, type Connection, ReadHold } from '../../io/connection.ts'
import type { Counter, Gauge, StatsScope } from '../../stats/stats.ts'
import { connectionInfo } from '../../telemetry/connection-info.ts'
import { withoutStream } from '../../telemetry/format-context.ts'
import { ResponseFlag } from '../../telemetry/stream-info.ts'
import { NetVerdict, type NetworkFilter, type NetworkFilterFactory, type ReadContinuation } from '../filter.ts'
import type { NetworkFilterExtension, NetworkFilterServices } from '../filter-factory.ts'

type Proto = envoy.extensions.filters.network.ext_authz.v3.ExtAuthz

interface ConnectionAuthzConfig {
  readonly statPrefix: string
  readonly service: GrpcServiceConfig
  readonly timeout: number
  readonly failureModeAllow: boolean
  readonly peerCertificate: boolean
  readonly tlsSession: boolean
  /** Null = always. */
  readonly enabledMetadata: MetadataMatchConfig | null
  readonly labelsKey: string
  readonly metadataNamespaces: readonly string[]
  /** Decisions are told, not enforced. */
  readonly shadow: boolean
}

const support = defineSupport<Proto>('envoy.extensions.filters.network.ext_authz.v3.ExtAuthz', {
  stat_prefix: 'yes',
  grpc_service: 'yes',
  failure_mode_allow: 'yes',
  include_peer_certificate: 'yes',
  transport_api_version: 'yes',
  filter_enabled_metadata: 'yes',
  bootstrap_metadata_labels_key: 'yes',
  include_tls_session: 'yes',
  // The connection is closed all the same.
  send_tls_alert_on_denial: 'warn',
  metadata_context_namespaces: 'yes',
  typed_metadata_context_namespaces: 'warn',
  shadow_mode: 'yes',
})

const DEFAULT_TIMEOUT = 200
const NO_HEADERS: readonly HeaderChange[] = []
const NAMESPACE = 'envoy.filters.network.ext_authz'

/** envoy.filters.network.ext_authz */
export const networkExtAuthzFactory: NetworkFilterExtension<Proto, ConnectionAuthzConfig> = {
  category: 'envoy.filters.network',
  name: 'envoy.filters.network.ext_authz',
  typeUrls: ['envoy.extensions.filters.network.ext_authz.v3.ExtAuthz'],
  terminal: false,
  parse(proto, at, warnings) {
    support.check(proto, at, warnings)
    if (proto.grpc_service === undefined) {
      throw new ConfigError('CONFIG_INVALID', at, 'an authorization service is required', {
        advice: 'set grpc_service',
      })
    }
    const service = parseGrpcService(proto.grpc_service, at.field('grpc_service'), warnings)
    return {
      statPrefix: proto.stat_prefix ?? '',
      service,
      timeout: service.timeout < 0 ? DEFAULT_TIMEOUT : service.timeout,
      failureModeAllow: proto.failure_mode_allow ?? false,
      peerCertificate: proto.include_peer_certificate ?? false,
      tlsSession: proto.include_tls_session ?? false,
      enabledMetadata:
        proto.filter_enabled_metadata === undefined
          ? null
          : parseMetadataMatcher(proto.filter_enabled_metadata, at.field('filter_enabled_metadata')),
      labelsKey: proto.bootstrap_metadata_labels_key ?? '',
      metadataNamespaces: proto.metadata_context_namespaces ?? [],
      shadow: proto.shadow_mode ?? false,
    }
  },
  create: (config, services) => new ConnectionAuthz(config, services),
  declareStats: (config, stats) => void new ConnectionAuthzStats(config, stats),
}

class ConnectionAuthzStats {
  readonly total: Counter
  readonly ok: Counter
  readonly denied: Counter
  readonly error: Counter
  readonly allowedByFailure: Counter
  readonly closed: Counter
  readonly disabled: Counter
  readonly active: Gauge

  constructor(config: ConnectionAuthzConfig, stats: StatsScope) {
    const scope = stats.scope(`ext_authz.${config.statPrefix}.`)
    this.total = scope.counter('total')
    this.ok = scope.counter('ok')
    this.denied = scope.counter('denied')
    this.error = scope.counter('error')
    this.allowedByFailure = scope.counter('failure_mode_allowed')
    this.closed = scope.counter('cx_closed')
    this.disabled = scope.counter('disabled')
    this.active = scope.gauge('active')
  }
}

/** The service of one filter, and what is counted. */
class ConnectionAuthz implements NetworkFilterFactory {
  readonly config: ConnectionAuthzConfig
  readonly services: NetworkFilterServices
  readonly stats: ConnectionAuthzStats
  readonly enabledBy: MetadataMatch | null
  readonly #client: GrpcClient
  readonly #labels: Readonly<Record<string, string>>

  constructor(config: ConnectionAuthzConfig, services: NetworkFilterServices) {
    this.config = config
    this.services = services
    this.stats = new ConnectionAuthzStats(config, services.stats)
    this.enabledBy = config.enabledMetadata === null ? null : new MetadataMatch(config.enabledMetadata)
    this.#client = services.callOuts.grpc(config.service)
    this.#labels = labelsOf(services.node.metadata[config.labelsKey])
  }

  newInstance(_: Connection, chain: ReadContinuation): NetworkFilter {
    return new CheckedConnection(this, chain)
  }

  check(c: Connection, user: AuthzUser): PendingCall {
    const w = new WireWriter()
    const info = connectionInfo(c)
    w.messageField(1, () => {
      writePeers(w, c, '', c.requestedServerName, this.#labels, this.config)
      w.messageField(11, () => metadata(w, this.config.metadataNamespaces, info.dynamicMetadata, null))
      writeTlsSession(w, c, this.config)
    })
    return this.#client.call(CHECK_METHOD, w.finish(), this.config.timeout, new GrpcCheck(user), withoutStream(info))
  }
}

const Phase = { Unasked: 0, Asking: 1, Passed: 2, Refused: 3 } as const
type Phase = (typeof Phase)[keyof typeof Phase]

/** As in Envoy the first bytes bring the question: by then TLS has said who the client is. */
class CheckedConnection implements NetworkFilter, AuthzUser {
  readonly #authz: ConnectionAuthz
  readonly #chain: ReadContinuation
  #phase: Phase = Phase.Unasked
  #connection: Connection | null = null
  #call: PendingCall | null = null
  /** `check` has not returned. */
  #inCall = false
  #began = 0
  /** What came until reading stopped. */
  #kept: Uint8Array[] = []
  #bytes = 0
  #ended = false

  constructor(authz: ConnectionAuthz, chain: ReadContinuation) {
    this.#authz = authz
    this.#chain = chain
  }

  onConnection(): NetVerdict {
    return NetVerdict.Continue
  }

  onData(c: Connection, d: Uint8Array, end: boolean): NetVerdict {
    if (this.#phase === Phase.Passed) return NetVerdict.Continue
    if (this.#phase === Phase.Refused) return NetVerdict.Stop
    const authz = this.#authz
    if (this.#phase === Phase.Unasked) {
      if (authz.enabledBy?.matches(connectionInfo(c).dynamicMetadata) === false) {
        authz.stats.disabled.inc()
        return NetVerdict.Continue
      }
      const phase = this.#ask(c)
      if (phase !== Phase.Asking) return phase === Phase.Passed ? NetVerdict.Continue : NetVerdict.Stop
    }
    keepChunk(d)
    this.#kept.push(d)
    this.#bytes += d.length
    // Not before: who reads nothing does not hear that the client has gone.
    if (this.#bytes > authz.services.bufferLimit) c.holdReading(ReadHold.Filter, true)
    if (end) this.#ended = true
    return NetVerdict.Stop
  }

  onAnswer(answer: AuthzAnswer): void {
    const authz = this.#authz
    const c = this.#connection!
    const allowed = answer.decision === Decision.Allowed
    this.#call = null
    authz.stats.active.dec()
    if (allowed) authz.stats.ok.inc()
    else if (answer.decision === Decision.Denied) authz.stats.denied.inc()
    else authz.stats.error.inc()
    this.#takeMetadata(c, answer, allowed)
    const failed = answer.decision === Decision.Error
    if (authz.config.shadow) {
      const result = allowed ? 'OK' : failed ? 'ERROR' : 'DENIED'
      connectionInfo(c).setFilterState(NAMESPACE, new ShadowDecision(result, answer.status, NO_HEADERS), 'none', '')
      this.#pass(c)
      return
    }
    if (!allowed && !(failed && authz.config.failureModeAllow)) {
      this.#refuse(c, failed ? 'ext_authz_error' : 'ext_authz_denied')
      return
    }
    if (failed) authz.stats.allowedByFailure.inc()
    this.#pass(c)
  }

  #pass(c: Connection): void {
    this.#phase = Phase.Passed
    if (this.#inCall) return
    const kept = this.#kept
    this.#kept = []
    this.#chain.continueReading(this, c, kept.length === 1 ? kept[0]! : Buffer.concat(kept), this.#ended)
    // Not before: what came behind the hold is given on at once.
    c.holdReading(ReadHold.Filter, false)
  }

  onClose(c: Connection): void {
    this.#countKept(c)
    if (this.#call === null) return
    this.#call.cancel()
    this.#call = null
    this.#authz.stats.active.dec()
  }

  /** Received, though no later filter sees and counts it. */
  #countKept(c: Connection): void {
    for (const chunk of this.#kept) connectionInfo(c).bytesReceived += chunk.length
    this.#kept = []
  }

  /** The answer may come before it returns. */
  #ask(c: Connection): Phase {
    const authz = this.#authz
    this.#phase = Phase.Asking
    this.#connection = c
    this.#began = authz.services.timers.now()
    authz.stats.active.inc()
    authz.stats.total.inc()
    this.#inCall = true
    const call = authz.check(c, this)
    this.#inCall = false
    const phase = this.#phase as Phase
    if (phase === Phase.Asking) this.#call = call
    return phase
  }

  #refuse(c: Connection, details: string): void {
    this.#phase = Phase.Refused
    this.#authz.stats.closed.inc()
    const info = connectionInfo(c)
    this.#countKept(c)
    info.setFlag(ResponseFlag.UnauthorizedExternalService)
    info.responseCodeDetails = details
    c.close(CloseHow.NoFlush)
  }

  #takeMetadata(c: Connection, { metadata }: AuthzAnswer, allowed: boolean): void {
    if (!allowed && (metadata === null || Object.keys(metadata).length === 0)) return
    const duration = Math.floor(this.#authz.services.timers.now() - this.#began)
    connectionInfo(c).mergeMetadata(NAMESPACE, allowed ? { ...metadata, ext_authz_duration: duration } : metadata!)
  }
}
