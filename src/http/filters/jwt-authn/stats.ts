import type { Counter, StatsScope } from '../../../stats/stats.ts'

/** `http.<stat_prefix>.jwt_authn.*` */
export class JwtAuthnStats {
  readonly allowed: Counter
  readonly denied: Counter
  readonly corsBypassed: Counter
  readonly fetchSuccess: Counter
  readonly fetchFailed: Counter
  readonly cacheHit: Counter
  readonly cacheMiss: Counter

  constructor(scope: StatsScope) {
    this.allowed = scope.counter('allowed')
    this.denied = scope.counter('denied')
    this.corsBypassed = scope.counter('cors_preflight_bypassed')
    this.fetchSuccess = scope.counter('jwks_fetch_success')
    this.fetchFailed = scope.counter('jwks_fetch_failed')
    this.cacheHit = scope.counter('jwt_cache_hit')
    this.cacheMiss = scope.counter('jwt_cache_miss')
  }
}
