import type { Counter, StatsScope } from '../../../stats/stats.ts'
import type { Cluster } from '../../../upstream/upstream.ts'

/** `ext_authz.<stat_prefix>.*` of a connection manager and of the clusters that requests were to go to. */
export class AuthzStats {
  readonly ok: Counter
  readonly denied: Counter
  readonly error: Counter
  readonly disabled: Counter
  readonly allowedByFailure: Counter
  readonly invalid: Counter
  readonly ignoredMetadata: Counter
  readonly requestLimits: Counter
  readonly shadowDenied: Counter
  readonly shadowError: Counter
  readonly #infix: string
  readonly #clusters = new WeakMap<Cluster, ClusterAuthzStats>()

  constructor(stats: StatsScope, httpPrefix: string, statPrefix: string) {
    this.#infix = statPrefix === '' ? 'ext_authz.' : `ext_authz.${statPrefix}.`
    const scope = stats.scope(httpPrefix + this.#infix)
    this.ok = scope.counter('ok')
    this.denied = scope.counter('denied')
    this.error = scope.counter('error')
    this.disabled = scope.counter('disabled')
    this.allowedByFailure = scope.counter('failure_mode_allowed')
    this.invalid = scope.counter('invalid')
    this.ignoredMetadata = scope.counter('ignored_dynamic_metadata')
    this.requestLimits = scope.counter('request_header_limits_reached')
    this.shadowDenied = scope.counter('shadow_denied')
    this.shadowError = scope.counter('shadow_error')
    for (const name of NEVER) scope.counter(name)
  }

  /** Of the cluster of the request's route; null = it has none. */
  of(cluster: Cluster | null): ClusterAuthzStats | null {
    if (cluster === null) return null
    let stats = this.#clusters.get(cluster)
    if (stats === undefined) {
      stats = new ClusterAuthzStats(cluster.stats.scope(this.#infix))
      this.#clusters.set(cluster, stats)
    }
    return stats
  }
}

/** Of options that are not there, and of what cannot happen here: Envoy has the names all the same. */
const NEVER = ['filter_state_name_collision', 'omitted_response_headers', 'response_header_limits_reached']

/** Each appears with its first event, as in Envoy. */
class ClusterAuthzStats {
  readonly #scope: StatsScope

  constructor(scope: StatsScope) {
    this.#scope = scope
  }

  get ok(): Counter {
    return this.#scope.counter('ok')
  }

  get denied(): Counter {
    return this.#scope.counter('denied')
  }

  get error(): Counter {
    return this.#scope.counter('error')
  }

  get invalid(): Counter {
    return this.#scope.counter('invalid')
  }

  get allowedByFailure(): Counter {
    return this.#scope.counter('failure_mode_allowed')
  }
}
