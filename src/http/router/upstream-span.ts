import type { HeaderBlock } from '../../codec/header-block.ts'
import { latin1 } from '../../config/matcher.ts'
import type { ResponseFlag } from '../../telemetry/stream-info.ts'
import type { Span } from '../../telemetry/tracing.ts'
import type { Host } from '../../upstream/upstream.ts'
import { logTime, tagError, tagGrpcStatus, tagStatus } from '../span-tags.ts'
import type { StreamContext } from '../stream-context.ts'
import type { RouterRequest } from './router-request.ts'
import type { UpstreamRequest } from './upstream-request.ts'

/** The span of one attempt (spawn_upstream_span, start_child_span), and what it tells of the attempt when that is over. */
export class UpstreamSpan {
  readonly span: Span
  /** 0 = no response. */
  status = 0
  /** As `StreamInfo.flagOrder`. */
  flag = 0
  /** Times as in StreamInfo, of this attempt alone. */
  firstTx = -1
  lastTx = -1
  firstRx = -1
  lastRx = -1
  private readonly context: StreamContext

  constructor(span: Span, context: StreamContext) {
    this.span = span
    this.context = context
  }

  /** Why it came to nothing. */
  failed(reason: string, flag: ResponseFlag): void {
    this.setFlag(flag)
    if (!this.span.sampled) return
    this.span.setTag('error', 'true')
    this.span.setTag('error.reason', reason)
  }

  setFlag(flag: ResponseFlag): void {
    this.flag = flag + 1
  }

  /** HttpTracerUtility::finalizeUpstreamSpan. */
  end(r: RouterRequest, host: Host, protocol: string): void {
    const { span, context } = this
    if (span.sampled) {
      span.setTag('http.protocol', protocol === '' ? '-' : protocol)
      tagUpstream(span, host, r.cluster!.name, r.cluster!.observabilityName)
      tagStatus(span, this.status, this.flag)
      tagError(span, this.status)
      const tracing = context.manager.tracing!
      if (tracing.verbose) {
        logTime(span, this.firstTx, 'first_upstream_tx_byte_sent')
        logTime(span, this.lastTx, 'last_upstream_tx_byte_sent')
        logTime(span, this.firstRx, 'first_upstream_rx_byte_received')
        logTime(span, this.lastRx, 'last_upstream_rx_byte_received')
      }
      tracing.complete(span, context, tracing.upstreamOperationOf(r.route))
    }
    span.finish()
  }
}

/** Address and cluster of a span that stands for a call to `host`. */
export function tagUpstream(span: Span, host: Host, cluster: string, observabilityName: string): void {
  span.setTag('upstream_address', host.address.text)
  span.setTag('peer.address', host.address.text)
  span.setTag('component', 'proxy')
  span.setTag('upstream_cluster', latin1(cluster))
  span.setTag('upstream_cluster.name', latin1(observabilityName))
}

/** Null: attempts of this request have none of their own. */
export function startUpstreamSpan(r: RouterRequest, s: StreamContext): UpstreamSpan | null {
  const parent = s.span
  if (parent === null || !(s.manager.tracing!.spawnsUpstream || r.filter.config.startChildSpan)) return null
  const span = parent.spawnChild(`router ${r.cluster!.observabilityName} egress`, s.services.clock.now())
  if (r.attemptCount > 1 && span.sampled) span.setTag('retry.count', String(r.attemptCount - 1))
  return new UpstreamSpan(span, s)
}

/** The context of the span that stands for this attempt, for the host. */
export function injectSpan(s: StreamContext, attempt: UpstreamRequest, h: HeaderBlock): void {
  if (!s.manager.tracing!.propagates) return
  if (attempt.trace !== null) attempt.trace.span.inject(h)
  else s.span!.inject(h)
}

export function noteGrpcStatus(trace: UpstreamSpan, h: HeaderBlock): void {
  if (trace.span.sampled && h.has('grpc-status')) tagGrpcStatus(trace.span, h)
}
