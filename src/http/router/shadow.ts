import { TimerNode, type TimerOwner } from '../../base/timer.ts'
import { type CodecStream, ResetReason } from '../../codec/codec.ts'
import { HeaderBlock } from '../../codec/header-block.ts'
import { type Connection, Flow } from '../../io/connection.ts'
import type { ShadowPolicy } from '../../routing/route.ts'
import type { Span } from '../../telemetry/tracing.ts'
import { chargeResponseCode } from '../../upstream/response-code-stats.ts'
import type { Cluster, Host, HttpPoolUser, PickContext, PoolFailure, PoolHandle } from '../../upstream/upstream.ts'
import type { RouterFilter } from '../filters/router.ts'
import { tagError, tagStatus } from '../span-tags.ts'
import type { StreamContext } from '../stream-context.ts'
import { tagUpstream } from './upstream-span.ts'

/** Sends copies of a complete request to mirror clusters; their responses are read and dropped (Envoy: ShadowWriterImpl). */
export function shadowRequests(
  policies: readonly ShadowPolicy[],
  s: StreamContext,
  body: readonly Uint8Array[],
  trailers: HeaderBlock | null,
  filter: RouterFilter,
  timeout: number,
): void {
  for (let i = 0; i < policies.length; i++) shadowRequest(policies[i]!, s, body, trailers, filter, timeout)
}

function shadowRequest(
  policy: ShadowPolicy,
  s: StreamContext,
  body: readonly Uint8Array[],
  trailers: HeaderBlock | null,
  filter: RouterFilter,
  timeout: number,
): void {
  if (!policy.sampled(s.random)) return
  const h = s.requestHeaders!
  const name = policy.cluster !== '' ? policy.cluster : (h.get(policy.clusterHeader) ?? '')
  const cluster = name === '' ? null : filter.services.clusters.get(name)
  if (cluster === null) return
  const copy = new HeaderBlock()
  copy.copyFrom(h)
  if (!policy.disableHostSuffix && copy.authority !== '') copy.authority = shadowHost(copy.authority)
  const span = mirrorSpan(policy, s, copy)
  copy.set('x-envoy-internal', 'true')
  const address = s.manager.localAddress
  const xff = copy.get('x-forwarded-for')
  copy.set('x-forwarded-for', xff === undefined || xff === '' ? address : `${xff},${address}`)
  new Shadow(filter, cluster, copy, body.slice(), trailers, span).start(timeout)
}

/** The copy is a call of its own in the trace; trace_sampled says whether it is recorded, else as the request is. */
function mirrorSpan(policy: ShadowPolicy, s: StreamContext, copy: HeaderBlock): Span | null {
  if (s.span === null) return null
  const span = s.span.spawnChild('mirror', s.services.clock.now())
  if (policy.traceSampled !== undefined) span.setSampled(policy.traceSampled)
  span.inject(copy)
  return span
}

/** `host:80` → `host-shadow:80` */
function shadowHost(authority: string): string {
  const colon = authority.lastIndexOf(':')
  if (colon > 0 && colon > authority.lastIndexOf(']'))
    return `${authority.slice(0, colon)}-shadow${authority.slice(colon)}`
  return `${authority}-shadow`
}

class Shadow implements HttpPoolUser, PickContext, TimerOwner {
  private readonly filter: RouterFilter
  private readonly cluster: Cluster
  private readonly headers: HeaderBlock
  private readonly body: readonly Uint8Array[]
  private readonly trailers: HeaderBlock | null
  private stream: CodecStream | null = null
  private host: Host | null = null
  private handle: PoolHandle | null = null
  private done = false
  private readonly timer: TimerNode
  private span: Span | null
  /** 0 = no response. */
  private status = 0
  private protocol = '-'
  readonly hash = null
  readonly requestHeaders: HeaderBlock | null
  readonly metadataMatch = null
  readonly downstream = null
  readonly info = null
  readonly overrideHost = ''
  readonly maxHostSelections = 1
  readonly retryPriority = null

  constructor(
    filter: RouterFilter,
    cluster: Cluster,
    headers: HeaderBlock,
    body: readonly Uint8Array[],
    trailers: HeaderBlock | null,
    span: Span | null,
  ) {
    this.span = span
    this.filter = filter
    this.cluster = cluster
    this.headers = headers
    this.requestHeaders = headers
    this.body = body
    this.trailers = trailers
    this.timer = new TimerNode(this, 0)
  }

  start(timeout: number): void {
    const host = this.cluster.pick(this)
    if (host === null) {
      this.charge(503)
      this.endSpan()
      return
    }
    this.host = host
    if (timeout > 0) this.filter.services.timers.arm(this.timer, timeout)
    const handle = this.cluster.httpPool(host, 0, 'HTTP/1.1', null).newStream(this)
    if (!this.done && this.stream === null) this.handle = handle
  }

  rejectHost(): boolean {
    return false
  }

  onPoolReady(stream: CodecStream, host: Host, _connection: Connection, protocol: string): void {
    this.stream = stream
    this.host = host
    this.protocol = protocol
    this.handle = null
    const body = this.body
    const bodyless = body.length === 0 && this.trailers === null
    stream.encodeHeaders(this.headers, bodyless)
    for (let i = 0; i < body.length && this.stream !== null; i++) {
      stream.encodeData(body[i]!, i === body.length - 1 && this.trailers === null)
    }
    if (this.trailers !== null && this.stream !== null) stream.encodeTrailers(this.trailers)
  }

  onPoolFailure(_failure: PoolFailure): void {
    this.charge(503)
    this.finish()
  }

  onResponseHeaders(h: HeaderBlock, end: boolean): void {
    if (h.status < 200 && h.status !== 101) return
    this.charge(h.status)
    this.status = h.status
    if (end) this.finish()
  }

  onResponseData(_chunk: Uint8Array, end: boolean): Flow {
    if (end) this.finish()
    return Flow.Continue
  }

  onResponseTrailers(): void {
    this.finish()
  }

  onUpstreamReset(): void {
    this.finish()
  }

  onUpstreamWritable(): void {
    // The body is already complete in memory, bounded by the buffer limit of the original.
  }

  onTimer(): void {
    const stream = this.stream
    const handle = this.handle
    this.cluster.counters.upstreamRqTimeout.inc()
    this.finish()
    handle?.cancel()
    stream?.reset(ResetReason.Local)
  }

  private charge(status: number): void {
    chargeResponseCode(this.cluster, status, 2)
    if (this.host !== null) this.cluster.chargeHost(this.host, status)
  }

  private finish(): void {
    this.done = true
    this.stream = null
    this.handle = null
    this.filter.services.timers.cancel(this.timer)
    this.endSpan()
  }

  private endSpan(): void {
    const { span, host } = this
    if (span === null) return
    this.span = null
    if (span.sampled) {
      span.setTag('http.protocol', this.protocol)
      if (host !== null) tagUpstream(span, host, this.cluster.name, this.cluster.observabilityName)
      tagStatus(span, this.status, 0)
      tagError(span, this.status)
    }
    span.finish()
  }
}
