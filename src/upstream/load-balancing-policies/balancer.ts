import type { Random } from '../../base/random.ts'
import type { Timers } from '../../base/timer.ts'
import type { Runtime } from '../../config/services.ts'
import type { LbConfig } from '../cluster-config.ts'
import type { ClusterStats } from '../cluster-stats.ts'
import type { WorkerHost } from '../host.ts'
import type { PrioritySet } from '../host-set.ts'
import type { PickContext } from '../upstream.ts'

/** A load balancer of one cluster on one worker. */
export interface Balancer {
  /** Called once before the first pick and whenever hosts or their health changed. */
  update(set: PrioritySet): void
  /** Null = no host may be used. `context` null: nothing is known of the request. */
  pick(context: PickContext | null): WorkerHost | null
}

export interface BalancerServices {
  readonly config: LbConfig
  readonly stats: ClusterStats
  readonly random: Random
  readonly runtime: Runtime
  readonly timers: Timers
  /** Hosts of the cluster this proxy belongs to (cluster_manager.local_cluster_name), for zone-aware routing. */
  localHosts(): PrioritySet | null
  /** Active requests of the cluster over all workers, for bounded loads. */
  clusterActiveRequests(): number
}
