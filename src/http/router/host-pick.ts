import type { HeaderBlock } from '../../codec/header-block.ts'
import type { Connection } from '../../io/connection.ts'
import type { RetryPolicy } from '../../routing/route.ts'
import type { StreamInfo } from '../../telemetry/stream-info.ts'
import { PreviousPriorities } from '../../upstream/retry-priorities/previous-priorities.ts'
import type { Host, PickContext } from '../../upstream/upstream.ts'

/** What one request tells the load balancer, and what its earlier attempts did; part of a router request. */
export class HostPick implements PickContext {
  hash: bigint | null = null
  requestHeaders: HeaderBlock | null = null
  metadataMatch: Readonly<Record<string, unknown>> | null = null
  info: StreamInfo | null = null
  overrideHost = ''
  maxHostSelections = 1
  retryPriority: PreviousPriorities | null = null
  private policy: RetryPolicy | null = null
  /** Of this request when the policy has a retry_priority; it is asked only for retries. */
  private previous: PreviousPriorities | null = null

  get downstream(): Connection | null {
    return this.info === null ? null : this.info.connection
  }

  begin(policy: RetryPolicy | null): void {
    this.policy = policy
    this.maxHostSelections = policy === null ? 1 : policy.hostSelectionRetryMaxAttempts
    const frequency = policy === null ? 0 : policy.previousPriorities
    if (frequency > 0) this.previous = new PreviousPriorities(frequency)
  }

  /** Before another attempt: retry_priority may move the load. */
  beforeRetry(): void {
    this.retryPriority = this.previous
  }

  chosen(host: Host): void {
    if (this.previous !== null) this.previous.attempted(host.priority)
  }

  /** Host predicates of the retry policy only know hosts that were tried: the first attempt may go anywhere. */
  rejectHost(host: Host): boolean {
    if (this.policy === null) return false
    const tried = this.info!.upstreamHostsAttempted
    return tried.length > 0 && this.policy.rejectHost(host, tried)
  }

  reset(): void {
    this.hash = null
    this.requestHeaders = null
    this.metadataMatch = null
    this.info = null
    this.overrideHost = ''
    this.maxHostSelections = 1
    this.retryPriority = null
    this.previous = null
    this.policy = null
  }
}
