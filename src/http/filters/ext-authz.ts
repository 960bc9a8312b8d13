import { coerceUtf8 } from '../../base/utf8.ts'
import { HeaderBlock } from '../../codec/header-block.ts'
import { Side } from '../../codec/inline-header.ts'
import { isFieldName, isFieldValue, isRemovable, MutationRules } from '../../config/mutation-rules.ts'
import type { PendingCall } from '../../config/services.ts'
import { MetadataMatch } from '../../config/value-match.ts'
import type { Route } from '../../routing/route.ts'
import { ResponseFlag } from '../../telemetry/stream-info.ts'
import { chargeResponseCode, ResponseOrigin } from '../../upstream/response-code-stats.ts'
import { DataVerdict, HeadersVerdict, type HttpFilter } from '../filter.ts'
import type { HttpFilterFactory, HttpFilterServices } from '../filter-factory.ts'
import { isSendable, unsendable } from '../service-headers.ts'
import type { StreamContext } from '../stream-context.ts'
import {
  type AuthzAnswer,
  type AuthzUser,
  applyChange,
  Change,
  Decision,
  type HeaderChange,
} from './ext-authz/answer.ts'
import {
  type AuthzServiceConfig,
  type ExtAuthzConfig,
  type ExtAuthzPerRouteProto,
  type ExtAuthzProto,
  type ExtAuthzRouteConfig,
  parseExtAuthz,
  parseExtAuthzRoute,
} from './ext-authz/config.ts'
import { GrpcAuthzClient } from './ext-authz/grpc-check.ts'
import { HttpAuthzClient } from './ext-authz/http-check.ts'
import { changeQuery, isEncoded } from './ext-authz/query.ts'
import { type CheckResult, ShadowDecision } from './ext-authz/shadow-decision.ts'
import { AuthzStats } from './ext-authz/stats.ts'
import { type CheckSubject, HeaderSelection } from './ext-authz/subject.ts'

export const extAuthzFactory: HttpFilterFactory<ExtAuthzProto, ExtAuthzConfig, ExtAuthzRouteConfig> = {
  category: 'envoy.filters.http',
  name: 'envoy.filters.http.ext_authz',
  typeUrls: ['envoy.extensions.filters.http.ext_authz.v3.ExtAuthz'],
  overrideTypeUrls: ['envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute'],
  parse: parseExtAuthz,
  parseOverride: (proto, at, warnings) => parseExtAuthzRoute(proto as ExtAuthzPerRouteProto, at, warnings),
  create: (config, services) => new ExtAuthzFilter(config, services),
  declareStats: (config, stats, httpPrefix) => void new AuthzStats(stats, httpPrefix, config.statPrefix),
}

interface AuthzClient {
  check(subject: CheckSubject, user: AuthzUser): PendingCall
}

/** The check of one request. */
class CheckState implements AuthzUser {
  readonly filter: ExtAuthzFilter
  stream: StreamContext | null = null
  override: ExtAuthzRouteConfig | null = null
  /** The body is wanted, up to so many bytes. */
  collects = false
  maxBytes = 0
  partial = false
  /** Of the body, so far. */
  bytes = 0
  /** The service has been asked and has not answered. */
  calling = false
  /** `check` has not returned. */
  inCall = false
  /** The request may go on. */
  passed = false
  call: PendingCall | null = null
  began = 0
  responseHeaders: readonly HeaderChange[] = NO_CHANGES

  constructor(filter: ExtAuthzFilter) {
    this.filter = filter
  }

  onAnswer(answer: AuthzAnswer): void {
    this.calling = false
    this.call = null
    if (this.stream !== null) this.filter.onAnswer(this.stream, this, answer)
  }
}

const NO_CHANGES: readonly HeaderChange[] = []

/** envoy.filters.http.ext_authz: a service outside says whether a request may pass. */
class ExtAuthzFilter implements HttpFilter<CheckState> {
  index = 0
  name = ''
  readonly #config: ExtAuthzConfig
  readonly #services: HttpFilterServices
  readonly #stats: AuthzStats
  readonly #selection: HeaderSelection
  readonly #client: AuthzClient
  readonly #others = new WeakMap<AuthzServiceConfig, AuthzClient>()
  readonly #rules: MutationRules | null
  readonly #enabledBy: MetadataMatch | null

  constructor(config: ExtAuthzConfig, services: HttpFilterServices) {
    this.#config = config
    this.#services = services
    this.#stats = new AuthzStats(services.stats, services.httpPrefix, config.statPrefix)
    this.#selection = new HeaderSelection(config)
    this.#client = this.#clientOf(config.service)
    this.#rules = config.rules === null ? null : new MutationRules(config.rules)
    this.#enabledBy = config.enabledMetadata === null ? null : new MetadataMatch(config.enabledMetadata)
  }

  newState(): CheckState {
    return new CheckState(this)
  }

  decodeHeaders(s: StreamContext, h: HeaderBlock, end: boolean): HeadersVerdict {
    const route = s.route()
    // What has no route goes nowhere.
    if (route === null) return HeadersVerdict.Continue
    const override = (route.filterConfig(this.name) as ExtAuthzRouteConfig | undefined) ?? null
    if (override?.disabled === true) return HeadersVerdict.Continue
    const config = this.#config
    if (!this.#isOn(s)) {
      this.#stats.disabled.inc()
      if (!this.#services.runtime.boolean(config.denyAtDisable.key, config.denyAtDisable.value)) {
        return HeadersVerdict.Continue
      }
      if (config.shadow) {
        this.#stats.shadowDenied.inc()
        // As Envoy: the flag is there, though nothing was refused.
        s.info.setFlag(ResponseFlag.UnauthorizedExternalService)
        this.#tell(s, 'DENIED', config.statusOnError)
        return HeadersVerdict.Continue
      }
      this.#refuse(s, config.statusOnError, 'ext_authz_error')
      return HeadersVerdict.StopIteration
    }
    const state = s.slot(this.index) as CheckState
    state.stream = s
    state.override = override
    const body = override?.body ?? config.body
    if (body !== null && override?.noBody !== true && !end && !s.isUpgrade && h.protocol === '') {
      state.collects = true
      state.maxBytes = body.maxBytes
      state.partial = body.partial
      if (!body.partial) s.requestBufferLimit = body.maxBytes
      return HeadersVerdict.StopIteration
    }
    return this.#ask(s, state, null) ? HeadersVerdict.Continue : HeadersVerdict.StopAllAndWatermark
  }

  decodeData(s: StreamContext, d: Uint8Array, end: boolean): DataVerdict {
    if (!s.hasSlot(this.index)) return DataVerdict.Continue
    const state = s.slot(this.index) as CheckState
    if (state.calling) return DataVerdict.StopAndWatermark
    if (!state.collects) return DataVerdict.Continue
    state.bytes += d.length
    const full = state.partial && state.bytes >= state.maxBytes
    // Beyond the limit the chain refuses it, before anyone is asked.
    if ((!end && !full) || (!state.partial && state.bytes > s.requestBufferLimit)) return DataVerdict.StopAndBuffer
    return this.#ask(s, state, d) ? DataVerdict.Continue : DataVerdict.StopAndWatermark
  }

  decodeTrailers(s: StreamContext): HeadersVerdict {
    if (!s.hasSlot(this.index)) return HeadersVerdict.Continue
    const state = s.slot(this.index) as CheckState
    if (state.calling) return HeadersVerdict.StopIteration
    if (!state.collects) return HeadersVerdict.Continue
    return this.#ask(s, state, null) ? HeadersVerdict.Continue : HeadersVerdict.StopIteration
  }

  encodeHeaders(s: StreamContext, h: HeaderBlock): HeadersVerdict {
    if (!s.hasSlot(this.index)) return HeadersVerdict.Continue
    const { responseHeaders } = s.slot(this.index) as CheckState
    for (let i = 0; i < responseHeaders.length; i++) applyChange(h, responseHeaders[i]!, Side.Response)
    return HeadersVerdict.Continue
  }

  onDestroy(s: StreamContext): void {
    if (!s.hasSlot(this.index)) return
    const state = s.slot(this.index) as CheckState
    state.stream = null
    state.call?.cancel()
    state.call = null
  }

  onAnswer(s: StreamContext, state: CheckState, answer: AuthzAnswer): void {
    if (answer.invalid && this.#config.validate) {
      this.#reject(s, state)
      return
    }
    this.#takeMetadata(s, state, answer)
    switch (answer.decision) {
      case Decision.Allowed:
        this.#allow(s, state, answer)
        return
      case Decision.Denied:
        this.#deny(s, state, answer)
        return
      default:
        this.#fail(s, state, answer)
    }
  }

  /** @returns true: it may go on at once */
  #ask(s: StreamContext, state: CheckState, last: Uint8Array | null): boolean {
    const route = s.route()!
    const { collects } = state
    state.collects = false
    state.calling = true
    state.inCall = true
    state.began = this.#services.timers.now()
    const subject = collects ? this.#withBody(s, state, last, route) : this.#subject(s, null, false, route)
    const service = state.override?.service ?? null
    const client = service === null ? this.#client : this.#clientOf(service)
    const call = client.check(subject, state)
    state.inCall = false
    if (state.calling) state.call = call
    return state.passed
  }

  #withBody(s: StreamContext, state: CheckState, last: Uint8Array | null, route: Route): CheckSubject {
    const chunks = [...s.bufferedRequest()]
    if (last !== null) chunks.push(last)
    if (chunks.length === 0) return this.#subject(s, null, false, route)
    const whole = Buffer.concat(chunks)
    const body = whole.subarray(0, state.maxBytes)
    const partial = body.length < whole.length
    return this.#subject(s, this.#config.packAsBytes ? body : coerceUtf8(body), partial, route)
  }

  #subject(s: StreamContext, body: Buffer | null, partial: boolean, route: Route): CheckSubject {
    const levels = route.filterConfigs(this.name) as readonly ExtAuthzRouteConfig[]
    let extensions: Readonly<Record<string, string>> = NO_EXTENSIONS
    for (let i = 0; i < levels.length; i++) {
      extensions = i === 0 ? levels[i]!.extensions : { ...extensions, ...levels[i]!.extensions }
    }
    return { stream: s, body, partial, extensions }
  }

  #allow(s: StreamContext, state: CheckState, answer: AuthzAnswer): void {
    const h = s.requestHeaders!
    const { clearRouteCache, clearRouteCacheHeaders } = this.#config
    if (clearRouteCache && answer.changesRequest(clearRouteCacheHeaders)) s.clearRouteCache()
    if (
      !this.#changeRequest(s, h, answer) ||
      !this.#areValid(answer.responseHeaders) ||
      !this.#changeQuery(s, h, answer)
    ) {
      this.#reject(s, state)
      return
    }
    const { maxHeadersKb, maxHeadersCount } = s.manager.config.http2
    if (h.list.length / 2 > maxHeadersCount || h.byteSize() > maxHeadersKb * 1024) {
      this.#stats.requestLimits.inc()
      this.#reject(s, state)
      return
    }
    state.responseHeaders = answer.responseHeaders.filter(({ name, value }) => isSendable(name, value))
    this.#stats.ok.inc()
    this.#stats.of(s.cluster)?.ok.inc()
    if (this.#config.shadow) this.#tell(s, 'OK', 200)
    this.#pass(s, state)
  }

  /** False: something in it must not be. */
  #changeRequest(s: StreamContext, h: HeaderBlock, answer: AuthzAnswer): boolean {
    const rules = this.#rules
    const { validate } = this.#config
    for (const change of answer.headers) {
      const { name, value } = change
      const valid = isFieldName(name) && isFieldValue(value)
      if (!valid && validate) return false
      if (rules !== null && !rules.maySet(name, value, change.change === Change.Join)) {
        if (rules.isError) return false
        continue
      }
      if (valid) applyChange(h, change, Side.Request)
      else if (name !== '') s.unsendable ||= unsendable(name, value)
    }
    for (const name of answer.remove) {
      if (validate && !isFieldName(name)) continue
      if (rules === null ? isRemovable(name) : rules.mayRemove(name)) h.remove(name)
      else if (rules?.isError === true) return false
    }
    return true
  }

  #areValid(changes: readonly HeaderChange[]): boolean {
    if (!this.#config.validate) return true
    return changes.every(({ name, value }) => isFieldName(name) && isFieldValue(value))
  }

  #changeQuery(s: StreamContext, h: HeaderBlock, { querySet, queryRemove }: AuthzAnswer): boolean {
    if (querySet.length === 0 && queryRemove.length === 0) return true
    if (this.#config.validate && !querySet.every(isEncoded)) return false
    h.path = changeQuery(h.path, querySet, queryRemove)
    for (const part of querySet) s.unsendable ||= unsendable(':path', part)
    return true
  }

  #deny(s: StreamContext, state: CheckState, answer: AuthzAnswer): void {
    const { chargeCluster, maxDeniedBody, shadow } = this.#config
    this.#stats.denied.inc()
    const { cluster } = s
    this.#stats.of(cluster)?.denied.inc()
    if (cluster !== null && chargeCluster) chargeResponseCode(cluster, answer.status, ResponseOrigin.Internal)
    if (!this.#areValid(answer.headers)) {
      this.#reject(s, state)
      return
    }
    if (shadow) {
      this.#stats.shadowDenied.inc()
      // The service's answer was one, status and all.
      const status = (state.override?.service ?? this.#config.service).kind === 'http' ? statusOf(answer) : NO_CHANGES
      this.#tell(s, 'DENIED', answer.status, [...status, ...answer.headers])
      this.#pass(s, state)
      return
    }
    const body = maxDeniedBody > 0 ? answer.body.slice(0, maxDeniedBody) : answer.body
    this.#refuse(s, answer.status, 'ext_authz_denied', body, answer.headers)
  }

  #fail(s: StreamContext, state: CheckState, answer: AuthzAnswer): void {
    const { failureModeAllow, failureModeHeader, statusOnError, maxDeniedBody, shadow } = this.#config
    const stats = this.#stats
    const own = stats.of(s.cluster)
    stats.error.inc()
    own?.error.inc()
    if (shadow) {
      stats.shadowError.inc()
      this.#tell(s, 'ERROR', answer.status === 0 ? statusOnError : answer.status, answer.headers)
      this.#pass(s, state)
      return
    }
    if (!failureModeAllow) {
      const body = maxDeniedBody > 0 ? answer.body.slice(0, maxDeniedBody) : answer.body
      const status = answer.status === 0 ? statusOnError : answer.status
      // A reply of the service that is no good is left out as a whole.
      if (this.#areValid(answer.headers)) this.#refuse(s, status, 'ext_authz_error', body, answer.headers)
      else this.#refuse(s, statusOnError, 'ext_authz_error')
      return
    }
    stats.allowedByFailure.inc()
    own?.allowedByFailure.inc()
    if (failureModeHeader) s.requestHeaders!.push('x-envoy-auth-failure-mode-allowed', 'true')
    this.#pass(s, state)
  }

  #pass(s: StreamContext, state: CheckState): void {
    state.passed = true
    if (!state.inCall) s.continueDecoding(this.index)
  }

  /** The answer cannot be used. */
  #reject(s: StreamContext, state: CheckState): void {
    this.#stats.invalid.inc()
    this.#stats.of(s.cluster)?.invalid.inc()
    if (this.#config.shadow) {
      this.#tell(s, 'ERROR', 500)
      this.#pass(s, state)
      return
    }
    this.#refuse(s, 500, 'ext_authz_invalid')
  }

  /** Whoever comes after this filter finds the decision under its name. */
  #tell(s: StreamContext, result: CheckResult, status: number, headers = NO_CHANGES): void {
    s.info.setFilterState(`${this.name}.shadow`, new ShadowDecision(result, status, headers), 'none', '')
  }

  #refuse(
    s: StreamContext,
    status: number,
    details: string,
    body = '',
    changes: readonly HeaderChange[] = NO_CHANGES,
  ): void {
    let headers: HeaderBlock | null = null
    if (changes.length > 0) {
      headers = new HeaderBlock()
      for (const change of changes)
        if (isSendable(change.name, change.value)) applyChange(headers, change, Side.Response)
    }
    s.info.setFlag(ResponseFlag.UnauthorizedExternalService)
    s.sendLocalReply(status, body, details, headers, -1, 'text/plain', true)
  }

  #takeMetadata(s: StreamContext, state: CheckState, answer: AuthzAnswer): void {
    const { metadata } = answer
    if (metadata === null || Object.keys(metadata).length === 0) return
    if (!this.#config.ingestMetadata) {
      this.#stats.ignoredMetadata.inc()
      return
    }
    const duration = Math.floor(this.#services.timers.now() - state.began)
    s.info.mergeMetadata(
      'envoy.filters.http.ext_authz',
      answer.decision === Decision.Allowed ? { ...metadata, ext_authz_duration: duration } : metadata,
    )
  }

  #clientOf(config: AuthzServiceConfig): AuthzClient {
    let client = this.#others.get(config)
    if (client === undefined) {
      client =
        config.kind === 'http'
          ? new HttpAuthzClient(config, this.#selection, this.#services)
          : new GrpcAuthzClient(config, this.#config, this.#selection, this.#services)
      this.#others.set(config, client)
    }
    return client
  }

  #isOn(s: StreamContext): boolean {
    const { enabled } = this.#config
    if (enabled !== null) {
      const { runtime, random } = this.#services
      if (!runtime.fraction(enabled.key, enabled.numerator, enabled.denominator, random.next())) return false
    }
    return this.#enabledBy === null || this.#enabledBy.matches(s.info.dynamicMetadata)
  }
}

const NO_EXTENSIONS: Readonly<Record<string, string>> = {}

function statusOf({ status }: AuthzAnswer): HeaderChange[] {
  return [{ name: ':status', value: String(status), change: Change.Set }]
}
