import type { HeaderBlock } from '../../codec/header-block.ts'
import type { Connection } from '../../io/connection.ts'
import type { RetryPolicy } from '../../routing/route.ts'
import type { Host, PickContext } from '../../upstream/upstream.ts'

/** What one request tells the load balancer, and what its earlier attempts did; part of a router request. */
export class HostPick implements PickContext {
  hash: bigint | null = null
  requestHeaders: HeaderBlock | null = null
  metadataMatch: Readonly<Record<string, unknown>> | null = null
  downstream: Connection | null = null
  overrideHost = ''
  maxHostSelections = 1
  priorityLoads: readonly number[] | null = null
  private policy: RetryPolicy | null = null
  /** Addresses tried so far: the log's list. */
  private hosts: readonly string[] = []
  private readonly priorities: number[] = []

  begin(policy: RetryPolicy | null, attempted: readonly string[]): void {
    this.policy = policy
    this.hosts = attempted
    this.maxHostSelections = policy === null ? 1 : policy.hostSelectionRetryMaxAttempts
  }

  /** Before another attempt: retry_priority may move the load. */
  beforeRetry(): void {
    this.priorityLoads = this.policy?.priorityLoads(this.priorities) ?? null
  }

  chosen(host: Host): void {
    this.priorities.push(host.priority)
  }

  /** Host predicates of the retry policy only know hosts that were tried: the first attempt may go anywhere. */
  rejectHost(host: Host): boolean {
    return this.policy !== null && this.priorities.length > 0 && this.policy.rejectHost(host, this.hosts)
  }

  reset(): void {
    this.hash = null
    this.requestHeaders = null
    this.metadataMatch = null
    this.downstream = null
    this.overrideHost = ''
    this.maxHostSelections = 1
    this.priorityLoads = null
    this.policy = null
    this.hosts = []
    this.priorities.length = 0
  }
}
