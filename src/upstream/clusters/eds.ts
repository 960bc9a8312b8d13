import { TimerNode, type TimerOwner, type Timers } from '../../base/timer.ts'
import type { Counter, StatsScope } from '../../stats/stats.ts'
import type { AssignmentConfig } from '../cluster-config.ts'
import type { ClusterHosts } from '../cluster-hosts.ts'
import type { Discovery, DiscoveryListener } from './discovery.ts'

/** EDS: assignments come from the xDS subscription of the service name, else the name of the cluster, which the server owns and forwards. */
export class EdsDiscovery implements Discovery, TimerOwner {
  ready = false
  private readonly hosts: ClusterHosts
  private readonly listener: DiscoveryListener
  private readonly timers: Timers
  private readonly stale = new TimerNode(this, 0)
  private readonly noRebuild: Counter
  private readonly assignmentStale: Counter
  private readonly timeoutReceived: Counter
  private last: AssignmentConfig | null = null

  constructor(hosts: ClusterHosts, listener: DiscoveryListener, timers: Timers, stats: StatsScope) {
    this.hosts = hosts
    this.listener = listener
    this.timers = timers
    const scope = stats.scope(`cluster.${hosts.config.statsName}.`)
    this.noRebuild = scope.counter('update_no_rebuild')
    this.assignmentStale = scope.counter('assignment_stale')
    this.timeoutReceived = scope.counter('assignment_timeout_received')
  }

  start(): void {}

  stop(): void {
    this.timers.cancel(this.stale)
  }

  onAssignment(assignment: AssignmentConfig): void {
    this.timers.cancel(this.stale)
    if (assignment.endpointStaleAfter > 0) {
      this.timeoutReceived.inc()
      this.timers.arm(this.stale, assignment.endpointStaleAfter)
    }
    this.last = assignment
    if (!this.hosts.update(assignment)) this.noRebuild.inc()
    this.becomeReady()
  }

  /** The resource does not exist, or the first fetch timed out: go on without hosts (EdsClusterImpl::onConfigUpdateFailed). */
  onFailure(): void {
    this.becomeReady()
  }

  /** endpoint_stale_after ran out: the hosts are no longer believed. */
  onTimer(): void {
    this.assignmentStale.inc()
    if (this.last !== null) this.hosts.update({ ...this.last, localities: [] })
  }

  private becomeReady(): void {
    if (this.ready) return
    this.ready = true
    this.listener.onReady()
  }
}
