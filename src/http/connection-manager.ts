import { HeaderBlock } from '../codec/header-block.ts'
import { type Http2Stats, http2Stats } from '../codec/http2/stats.ts'
import type { DrainDecision, WorkerServices } from '../config/services.ts'
import type { Connection } from '../io/connection.ts'
import type { RouteAction, RouteTable } from '../routing/route.ts'
import type { AccessLogger } from '../telemetry/format-context.ts'
import { ResponseFlag } from '../telemetry/stream-info.ts'
import type { Tracer } from '../telemetry/tracing.ts'
import type { HcmConfig, UpgradeConfig } from './connection-manager-config.ts'
import type { HttpFilterChainSource } from './discovered-filters.ts'
import type { EarlyHeaderMutation } from './early-header-mutation/header-mutation.ts'
import { isGrpcRequest } from './grpc.ts'
import { HttpConnection } from './http-connection.ts'
import { LocalReply, type LocalReplyRewriter } from './local-reply.ts'
import { maxStreamDuration } from './max-stream-duration.ts'
import { normalizedPath, normalizePath, PathResult } from './path-normalize.ts'
import { checkRequestHeaders, isUpgradeRequest, normalizeHost } from './request-checks.ts'
import { httpDate } from './request-id.ts'
import { RequestTracing } from './request-tracing.ts'
import { RequestSanitizer } from './sanitize.ts'
import { HcmStats } from './stats.ts'
import { StreamContext, StreamTimer } from './stream-context.ts'

/** Finished contexts kept for reuse per connection manager. */
const MAX_FREE = 1024

const continueHead = new HeaderBlock()
continueHead.status = 100

/** What a listener's filter chain gives a connection manager besides its configuration. */
export interface ConnectionManagerEnvironment {
  readonly services: WorkerServices
  readonly chain: HttpFilterChainSource
  /** Chain per upgrade type with filters of its own. */
  readonly upgradeChains: ReadonlyMap<string, HttpFilterChainSource>
  readonly routeTable: () => RouteTable | null
  readonly accessLoggers: readonly AccessLogger[]
  readonly replyRewriter: LocalReplyRewriter | null
  /** What the tracing provider made; null = none. */
  readonly tracer: Tracer | null
  /** Of the listener. */
  readonly trafficDirection: 'UNSPECIFIED' | 'INBOUND' | 'OUTBOUND'
  readonly earlyMutations: readonly EarlyHeaderMutation[]
  /** `listener.<address>.` scope. */
  readonly listenerName: string
  readonly drainDecision: DrainDecision
  readonly listenerAddress: string
  readonly filterChainName: string
  readonly listenerMetadata: Readonly<Record<string, unknown>> | null
  readonly filterChainMetadata: Readonly<Record<string, unknown>> | null
  /** Address appended to XFF for loopback peers (Envoy: LocalInfo::address). */
  readonly localAddress: string
  readonly bufferLimit: number
}

/** All HTTP connections of one http_connection_manager on one worker. */
export class ConnectionManager {
  readonly config: HcmConfig
  readonly services: WorkerServices
  readonly stats: HcmStats
  #http2Stats: Http2Stats | null = null
  readonly chain: HttpFilterChainSource
  readonly routeTable: () => RouteTable | null
  readonly replyRewriter: LocalReplyRewriter | null
  /** Null: nothing is traced, nor counted as traceable. */
  readonly tracing: RequestTracing | null
  readonly filterChainName: string
  readonly listenerName: string
  readonly listenerMetadata: Readonly<Record<string, unknown>> | null
  readonly filterChainMetadata: Readonly<Record<string, unknown>> | null
  readonly bufferLimit: number
  readonly localAddress: string
  readonly reply = new LocalReply()
  private readonly environment: ConnectionManagerEnvironment
  private readonly sanitizer: RequestSanitizer
  private readonly upgrades = new Map<string, UpgradeConfig>()
  private readonly free: StreamContext[] = []
  private readonly retired: StreamContext[] = []
  private depth = 0
  /** Wall clock of the loop's turn that began at `turnStart`. */
  private turnWall = 0
  private turnStart = -1

  constructor(config: HcmConfig, environment: ConnectionManagerEnvironment) {
    this.config = config
    this.environment = environment
    this.services = environment.services
    this.chain = environment.chain
    this.routeTable = environment.routeTable
    this.replyRewriter = environment.replyRewriter
    this.filterChainName = environment.filterChainName
    this.listenerName = environment.listenerName
    this.listenerMetadata = environment.listenerMetadata
    this.filterChainMetadata = environment.filterChainMetadata
    this.bufferLimit = environment.bufferLimit
    this.localAddress = environment.localAddress
    const stats = environment.services.stats
    const scope = stats.scope(`http.${config.statPrefix}.`)
    this.tracing =
      config.tracing === null
        ? null
        : new RequestTracing(
            config.tracing,
            environment.tracer,
            {
              egress: environment.trafficDirection === 'OUTBOUND',
              packTraceReason: config.packTraceReason,
              sampleByRequestId: config.sampleByRequestId,
            },
            environment.services,
            scope,
          )
    this.stats = new HcmStats(scope, stats.scope(`listener.${environment.listenerAddress}.http.${config.statPrefix}.`))
    this.sanitizer = new RequestSanitizer(config, environment.services, environment.localAddress)
    for (const upgrade of config.upgrades) this.upgrades.set(upgrade.type, upgrade)
  }

  /** They exist from the first connection on that speaks HTTP/2 (Envoy: atomicGet of the codec's stats). */
  get http2Stats(): Http2Stats {
    this.#http2Stats ??= http2Stats(this.services.stats.scope('http2.'), 'downstream')
    return this.#http2Stats
  }

  newConnection(c: Connection): HttpConnection {
    return new HttpConnection(this, c)
  }

  /** Brackets the handling of one read: contexts finished meanwhile are reused only after it, when no frame refers to them. */
  beginTurn(): void {
    this.depth++
  }

  /** Wall clock, as coarse as `now`, which is that of the timers. */
  wall(now: number): number {
    if (now !== this.turnStart) {
      this.turnStart = now
      this.turnWall = this.services.clock.wall()
    }
    return this.turnWall
  }

  endTurn(): void {
    if (--this.depth > 0) return
    const retired = this.retired
    // Popped, not cut: setting a length of 0 gives the memory of the list away.
    while (retired.length > 0) {
      const context = retired.pop()!
      context.recycle()
      if (this.free.length < MAX_FREE) this.free.push(context)
      else context.discard()
    }
  }

  acquire(): StreamContext {
    const context = this.free.pop() ?? new StreamContext(this)
    context.chain = this.chain.current()
    return context
  }

  release(context: StreamContext): void {
    this.retired.push(context)
  }

  log(context: StreamContext): void {
    const loggers = this.environment.accessLoggers
    for (let i = 0; i < loggers.length; i++) loggers[i]!.log(context, 'DownstreamEnd')
  }

  /** The request head: checks, sanitising, route, timers, then the filters (Envoy: ActiveStream::decodeHeaders). */
  onRequestHeaders(context: StreamContext, h: HeaderBlock, end: boolean): void {
    const { config, services, stats } = this
    const info = context.info
    const connection = context.connection!
    context.requestHeaders = h
    context.requestComplete = end
    context.isHead = h.method === 'HEAD'
    context.isGrpc = isGrpcRequest(h)
    if (end) info.lastDownstreamRx = services.timers.now()
    if (!config.proxy100Continue) this.answerExpect(context, h)
    const http1 = !connection.isHttp2
    if (http1 && info.protocol === 'HTTP/1.0' && !config.http1.acceptHttp10) {
      // The log knows nothing of such a request, as with Envoy.
      context.requestHeaders = null
      info.protocol = 'HTTP/1.1'
      info.setFlag(ResponseFlag.DownstreamProtocolError)
      context.codecStream!.closeAfter = true
      this.refuse(context, 426, 'Upgrade Required', 'low_version')
      return
    }
    const refusal = checkRequestHeaders(h, context.codecStream!, config)
    if (refusal !== null) {
      if (refusal.details === 'absolute_path_rejected') stats.rqNonRelativePath.inc()
      else if (http1) context.codecStream!.closeAfter = true
      if (refusal.protocolError) {
        // Envoy's codec refuses these: no head reaches the log.
        context.requestHeaders = null
        info.setFlag(ResponseFlag.DownstreamProtocolError)
      }
      this.refuse(context, refusal.status, refusal.body, refusal.details)
      return
    }
    if (!config.proxy100Continue) this.sendContinue(context, h)
    if (h.path !== '' && !this.normalize(context, h)) return
    normalizeHost(h, connection.connection.local.port, config)
    const early = this.environment.earlyMutations
    for (let i = 0; i < early.length; i++) early[i]!.apply(h, context)
    const upgrade = isUpgradeRequest(h)
    info.downstreamHeaderBytesReceived = h.wireBytes
    const client = this.sanitizer.apply(h, connection.connection, info, upgrade, this.routeTable())
    if (client !== connection.connection.remote.ip) {
      // Of this request alone: the next one on the connection may come from someone else.
      info.client = { ip: client, port: 0, text: `${client}:0` }
    }
    const route = context.route()
    const action = route === null ? null : route.action
    const { tracing } = this
    if (tracing !== null) tracing.decide(context, h, route)
    if ((upgrade || h.method === 'CONNECT') && route !== null && !this.acceptUpgrade(context, h, action)) return
    if (tracing !== null) tracing.start(context, h, route)
    this.armTimers(context, h, action, end)
    const skipped = this.skippedFilters(context)
    context.startDecoding(skipped)
  }

  /** RFC 9110 §10.1.1, as Envoy: asked for and given here before anything is checked; the filters and the upstream see none. */
  private answerExpect(context: StreamContext, h: HeaderBlock): void {
    const expect = h.get('expect')
    if (expect === undefined || expect.toLowerCase() !== '100-continue') return
    h.remove('expect')
    this.stats.chargeResponse(100)
    context.encode1xx(continueHead)
  }

  /** A local reply before the filters have seen the request; they see the answer. */
  refuse(context: StreamContext, status: number, body: string, details: string): void {
    const isGrpc = context.isGrpc
    if (context.requestHeaders === null) context.isGrpc = false
    context.settleRoute()
    context.answerAtOnce(context.chain.disabledByDefault)
    context.sendLocalReply(status, body, details)
    context.isGrpc = isGrpc
  }

  /** date, server, via, connection and the response counters (Envoy: ActiveStream::encodeHeaders). */
  finalizeResponse(context: StreamContext, h: HeaderBlock): void {
    const { config, services, stats } = this
    const connection = context.connection!
    const list = h.list
    let hasDate = false
    let serverAt = -1
    let hopByHop = false
    for (let i = 0; i < list.length; i += 2) {
      switch (list[i]) {
        case 'date':
          hasDate = true
          break
        case 'server':
          serverAt = i
          break
        case 'connection':
        case 'keep-alive':
        case 'proxy-connection':
        case 'transfer-encoding':
        case 'upgrade':
          hopByHop = true
          break
      }
    }
    if (!hasDate) list.push('date', httpDate(services.clock.wall()))
    if (config.serverHeader === 'OVERWRITE') {
      if (serverAt >= 0) list[serverAt + 1] = config.serverName
      else list.push('server', config.serverName)
    } else if (config.serverHeader === 'APPEND_IF_ABSENT' && serverAt < 0) list.push('server', config.serverName)
    if (hopByHop) {
      h.remove('transfer-encoding')
      if (!(context.isUpgrade && h.status === 101)) {
        h.remove('connection')
        h.remove('upgrade')
      }
      h.remove('keep-alive')
      h.remove('proxy-connection')
    }
    if (config.via !== '') {
      const via = h.get('via')
      h.set('via', via === undefined ? config.via : `${via}, ${config.via}`)
    }
    if ((config.alwaysSetRequestIdInResponse || context.info.requestIdInResponse) && context.info.requestId !== '')
      h.set('x-request-id', context.info.requestId)
    if (!connection.draining && this.environment.drainDecision.closing()) {
      stats.cxDrainClose.inc()
      connection.startDrain()
    }
    if (!connection.isHttp2) {
      const s = context.codecStream!
      const tunnel = isTunnel(context, h)
      if (!context.requestComplete && !tunnel) {
        stats.rqResponseBeforeComplete.inc()
        s.closeAfter = true
      }
      if (connection.closing) s.closeAfter = true
      if ((s.closeAfter || connection.draining) && !tunnel) h.set('connection', 'close')
      else if (context.info.protocol === 'HTTP/1.0') h.set('connection', 'keep-alive')
    } else if (!context.requestComplete) stats.rqResponseBeforeComplete.inc()
    if (this.tracing !== null) this.tracing.onResponse(context, h)
    stats.chargeResponse(h.status)
  }

  /**
   * A stream under way has got another route: its times hold from now on (ActiveStream::refreshDurationTimeout and refreshIdleTimeout). A
   * route that says nothing of the idle timeout leaves the one of the route before, not the connection manager's.
   */
  onRouteChanged(context: StreamContext, h: HeaderBlock, action: RouteAction): void {
    if (action.idleTimeout >= 0) context.setIdleTimeout(action.idleTimeout)
    const limit = maxStreamDuration(h, action, context.isGrpc, this.config.maxStreamDuration)
    const used = this.services.timers.now() - context.info.start
    if (limit > 0) context.armMaxDuration(Math.max(1, limit - used))
    else context.cancelMaxDuration()
  }

  onStreamTimer(context: StreamContext, kind: number): void {
    if (context.finished) return
    const { stats, services } = this
    switch (kind) {
      case StreamTimer.Idle: {
        const limit = context.idleTimeout
        const quiet = services.timers.now() - context.info.lastActivity
        if (quiet < limit) {
          context.armIdle(limit - quiet)
          return
        }
        stats.rqIdleTimeout.inc()
        context.info.setFlag(ResponseFlag.StreamIdleTimeout)
        context.sendLocalReply(context.requestComplete ? 504 : 408, 'stream timeout', 'stream_idle_timeout')
        return
      }
      case StreamTimer.Request:
        stats.rqTimeout.inc()
        context.sendLocalReply(408, 'request timeout', 'request_overall_timeout')
        return
      case StreamTimer.MaxDuration:
        stats.rqMaxDuration.inc()
        context.sendLocalReply(
          context.requestComplete ? 504 : 408,
          'downstream duration timeout',
          'max_duration_timeout',
          null,
          4,
        )
        return
    }
  }

  private normalize(context: StreamContext, h: HeaderBlock): boolean {
    switch (normalizePath(h.path, this.config)) {
      case PathResult.Unchanged:
        return true
      case PathResult.Changed:
        h.path = normalizedPath()
        return true
      case PathResult.Redirect: {
        this.stats.rqRedirectedNormalizedPath.inc()
        h.path = normalizedPath()
        this.redirectNormalized(context, h)
        return false
      }
      default:
        this.stats.rqFailedPathNormalization.inc()
        // The log shows what was seen: the path with its slashes unescaped.
        h.path = normalizedPath()
        if (!context.connection!.isHttp2) context.codecStream!.closeAfter = true
        this.refuse(context, 400, '', 'path_normalization_failed')
        return false
    }
  }

  /** RFC 9110 §10.1.1: whoever waits for permission to send a body gets it here, and the upstream is not asked. */
  private sendContinue(context: StreamContext, h: HeaderBlock): void {
    const expect = h.get('expect')
    if (expect === undefined || expect.toLowerCase() !== '100-continue') return
    h.remove('expect')
    context.codecStream!.encode1xx(continueHead)
    this.stats.chargeResponse(100)
  }

  private redirectNormalized(context: StreamContext, h: HeaderBlock): void {
    const location = h.path
    context.answerAtOnce(context.chain.disabledByDefault)
    context.redirectTo(307, location, 'path_normalization_failed')
  }

  private acceptUpgrade(context: StreamContext, h: HeaderBlock, action: RouteAction | null): boolean {
    const type =
      h.method === 'CONNECT' && h.protocol === ''
        ? 'connect'
        : (h.protocol !== '' ? h.protocol : (h.get('upgrade') ?? '')).toLowerCase()
    const byRoute = action?.upgrades?.[type]
    const own = this.upgrades.get(type)
    if (byRoute === false || (byRoute !== true && own?.enabled !== true)) {
      this.stats.rqWsOnNonWsRoute.inc()
      context.codecStream!.closeAfter = true
      this.refuse(context, 403, '', 'upgrade_failed')
      return false
    }
    context.isUpgrade = true
    context.isConnect = h.method === 'CONNECT'
    this.stats.cxUpgradesTotal.inc()
    this.stats.cxUpgradesActive.inc()
    const chain = this.environment.upgradeChains.get(type)
    if (chain !== undefined) context.chain = chain.current()
    return true
  }

  private armTimers(context: StreamContext, h: HeaderBlock, action: RouteAction | null, end: boolean): void {
    const { config } = this
    const idle = action !== null && action.idleTimeout >= 0 ? action.idleTimeout : config.streamIdleTimeout
    context.setIdleTimeout(idle)
    if (config.requestTimeout > 0 && !end) context.armRequestTimeout(config.requestTimeout)
    const limit = maxStreamDuration(h, action, context.isGrpc, config.maxStreamDuration)
    if (limit > 0) context.armMaxDuration(limit)
  }

  /** typed_per_filter_config and `disabled` decide per route which filters take part. */
  private skippedFilters(context: StreamContext): number {
    const chain = context.chain
    let skipped = chain.disabledByDefault
    const route = context.route()
    if (route === null || !route.mayDisableFilters) return skipped
    for (let i = 0; i < chain.size - 1; i++) {
      const disabled = route.filterDisabled(chain.filters[i]!.name)
      if (disabled === undefined) continue
      if (disabled) skipped |= 1 << i
      else skipped &= ~(1 << i)
    }
    return skipped
  }
}

/** The bytes that follow are no HTTP/1 messages any more: nothing may be said about the connection. */
function isTunnel(context: StreamContext, h: HeaderBlock): boolean {
  if (!context.isUpgrade) return false
  return context.isConnect ? h.status >= 200 && h.status < 300 : h.status === 101
}
