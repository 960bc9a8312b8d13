import type { Counter, Gauge, StatsScope } from '../stats/stats.ts'
import type { AssignmentConfig, ClusterConfig, HostConfig } from './cluster-config.ts'
import {
  coarseHealth,
  EDS_BITS,
  edsHealthBits,
  Health,
  type HostsUpdate,
  isExcluded,
  type PublishedLocality,
} from './host.ts'
import { tableGauges } from './load-balancing-policies/table-gauges.ts'
import {
  ClusterCell,
  HOST_BLOCK,
  type SharedBlock,
  type SharedCells,
  type SharedStateAllocator,
} from './shared-state.ts'
import { matchTransportSocket } from './transport-socket-match.ts'
import { HostCell, HostHealth } from './upstream.ts'

/** A host on main, where health is decided. */
export class MainHost {
  config: HostConfig
  readonly block: SharedBlock
  readonly cells: SharedCells
  /** Still named by discovery; a host that fails health checks may be kept a while after it was dropped. */
  listed = true

  constructor(config: HostConfig, block: SharedBlock, cells: SharedCells) {
    this.config = config
    this.block = block
    this.cells = cells
  }

  flags(): number {
    return this.cells.load(HostCell.Health)
  }
}

/** Who looks after hosts on main: health checkers and outlier detection. */
export interface HostWatcher {
  onHostAdded(host: MainHost): void
  onHostRemoved(host: MainHost): void
}

export interface ClusterPublisher {
  /** Sends the hosts to every worker. */
  publish(cluster: string, update: HostsUpdate): void
  /** Tells the workers that flags changed, for clusters that close connections of failed hosts. */
  healthChanged(cluster: string): void
}

/**
 * The hosts of one cluster on main: gives each its shared cells, keeps identity across updates, publishes, and writes the
 * membership stats. Discovery (static, DNS, EDS) only calls `update`.
 */
export class ClusterHosts {
  readonly config: ClusterConfig
  readonly block: SharedBlock
  readonly cells: SharedCells
  private readonly allocator: SharedStateAllocator
  private readonly publisher: ClusterPublisher
  private readonly stats: StatsScope
  private readonly membership: {
    change: Counter
    total: Gauge
    healthy: Gauge
    degraded: Gauge
    excluded: Gauge
    weight: Gauge
  }
  private readonly watchers: HostWatcher[] = []
  private byKey = new Map<string, MainHost>()
  private assignment: AssignmentConfig
  private removed = false
  private hadHosts = false

  constructor(
    config: ClusterConfig,
    block: SharedBlock,
    allocator: SharedStateAllocator,
    publisher: ClusterPublisher,
    stats: StatsScope,
  ) {
    this.config = config
    this.block = block
    this.cells = allocator.cells(block)
    this.allocator = allocator
    this.publisher = publisher
    this.stats = stats.scope(`cluster.${config.statsName}.`)
    this.membership = {
      change: this.stats.counter('membership_change'),
      total: this.stats.gauge('membership_total'),
      healthy: this.stats.gauge('membership_healthy'),
      degraded: this.stats.gauge('membership_degraded'),
      excluded: this.stats.gauge('membership_excluded'),
      weight: this.stats.gauge('max_host_weight'),
    }
    this.assignment = {
      clusterName: config.name,
      localities: [],
      overprovisioningFactor: 140,
      weightedPriorityHealth: false,
      dropOverloads: [],
      endpointStaleAfter: 0,
    }
  }

  /** Before the first `update`. */
  watch(watcher: HostWatcher): void {
    this.watchers.push(watcher)
  }

  hosts(): MainHost[] {
    return [...this.byKey.values()]
  }

  find(block: SharedBlock): MainHost | null {
    for (const h of this.byKey.values()) if (h.block.page === block.page && h.block.base === block.base) return h
    return null
  }

  /** Everything discovery knows now. False = no priority has other hosts or weights than before (`update_no_rebuild`). */
  update(assignment: AssignmentConfig): boolean {
    if (this.removed) return false
    const before = this.byKey
    const next = new Map<string, MainHost>()
    const added: MainHost[] = []
    // A locality without a weight that merely empties is no rebuild for Envoy, but workers must hear of it.
    let rebuilt = !samePolicy(this.assignment, assignment) || !sameWeights(this.assignment, assignment)
    let changed = rebuilt || !sameLocalities(this.assignment, assignment)
    const priorities = new Set<number>()
    for (const l of assignment.localities) {
      for (const config of l.hosts) {
        const key = hostKey(config)
        // Envoy keeps the first of two hosts with one address.
        if (next.has(key)) continue
        // As Envoy, which makes every host anew for an update, and puts the metadata of one that is known into the old one.
        this.countMatch(config)
        const old = before.get(key)
        if (old !== undefined && sameHost(old.config, config)) {
          const priority = old.config.priority
          rebuilt = this.renew(old, config) || rebuilt
          if (priority !== config.priority) priorities.add(priority).add(config.priority)
          next.set(key, old)
        } else {
          const host = this.create(config, old ?? null)
          next.set(key, host)
          added.push(host)
          priorities.add(config.priority)
        }
      }
    }
    const gone: MainHost[] = []
    for (const [key, host] of before) {
      const now = next.get(key)
      if (now === host) continue
      // Hosts that pass active health checks stay until they fail, unless told otherwise (updateDynamicHostList).
      if (now === undefined && this.keepsRemoved(host)) {
        changed ||= host.listed
        host.listed = false
        host.cells.setBits(HostCell.Health, HostHealth.PendingRemoval)
        next.set(key, host)
      } else {
        gone.push(host)
        priorities.add(host.config.priority)
      }
    }
    this.assignment = assignment
    this.byKey = next
    rebuilt ||= added.length > 0 || gone.length > 0
    if (changed || rebuilt) this.finish(added, gone, priorities.size)
    return rebuilt
  }

  /** A flag of a host changed: workers look again. */
  onHealthChanged(host: MainHost): void {
    if (!host.listed && (host.flags() & HostHealth.FailedActive) !== 0) this.dropUnlisted(host)
    this.cells.add(ClusterCell.Generation, 1)
    this.setGauges()
    this.publisher.healthChanged(this.config.name)
  }

  /** The cluster goes: its memory is given back when no worker uses it any more. */
  remove(): void {
    this.removed = true
    const all = this.hosts()
    this.byKey = new Map()
    for (const h of all) this.forget(h)
    this.allocator.retire(this.block)
    // The gauges stay: they are already those of the version that took over, or go with the cluster's scope.
  }

  /** Some worker sent traffic to this cluster. */
  hasTraffic(): boolean {
    return this.cells.load(ClusterCell.Traffic) !== 0
  }

  /** The newest update, for a worker that starts. */
  current(): HostsUpdate {
    return this.build()
  }

  /** `before`: another host at the same address, checked in the same way: what its health checks found holds for this one. */
  private create(config: HostConfig, before: MainHost | null): MainHost {
    const block = this.allocator.allocate(HOST_BLOCK)
    const host = new MainHost(config, block, this.allocator.cells(block))
    let bits = edsHealthBits(config.healthStatus)
    if (this.config.healthChecks.length > 0 && config.healthCheck?.disabled !== true) {
      // Nothing is known yet: failed until the first check passes.
      if (before !== null) bits |= before.flags() & ACTIVE_BITS
      else bits |= this.config.lb.ignoreNewHostsUntilFirstHc ? UNCHECKED | HostHealth.PendingActive : UNCHECKED
    }
    host.cells.store(HostCell.Health, bits)
    return host
  }

  private countMatch({ metadata }: HostConfig): void {
    const { name } = matchTransportSocket(this.config, metadata)
    this.stats.counter(`${name}.total_match_count`).inc()
  }

  /** Takes over a known host's new settings; true when workers must hear of it. */
  private renew(host: MainHost, config: HostConfig): boolean {
    const listedAgain = !host.listed
    host.listed = true
    if (listedAgain) host.cells.clearBits(HostCell.Health, HostHealth.PendingRemoval)
    const before = host.config
    host.config = config
    if (config.healthStatus !== before.healthStatus) {
      host.cells.clearBits(HostCell.Health, EDS_BITS)
      host.cells.setBits(HostCell.Health, edsHealthBits(config.healthStatus))
    }
    const changed = JSON.stringify(before) !== JSON.stringify(config)
    if (changed && JSON.stringify(before.metadata) !== JSON.stringify(config.metadata)) this.countMatch(config)
    return listedAgain || changed
  }

  private keepsRemoved(host: MainHost): boolean {
    if (this.config.ignoreHealthOnHostRemoval || this.config.healthChecks.length === 0) return false
    return (host.flags() & HostHealth.FailedActive) === 0 && host.config.healthCheck?.disabled !== true
  }

  private dropUnlisted(host: MainHost): void {
    this.byKey.delete(hostKey(host.config))
    this.finish([], [host], 1)
  }

  /** `priorities`: how many of them got or lost hosts; each counts as one change, as in Envoy. */
  private finish(added: readonly MainHost[], gone: readonly MainHost[], priorities: number): void {
    for (const h of gone) this.forget(h)
    this.membership.change.add(priorities)
    this.setGauges()
    this.publisher.publish(this.config.name, this.build())
    for (const h of added) for (const w of this.watchers) w.onHostAdded(h)
  }

  private forget(host: MainHost): void {
    for (const w of this.watchers) w.onHostRemoved(host)
    this.allocator.retire(host.block)
  }

  private build(): HostsUpdate {
    const localities: PublishedLocality[] = this.assignment.localities.map(l => ({
      region: l.region,
      zone: l.zone,
      subZone: l.subZone,
      priority: l.priority,
      weight: l.weight,
      hosts: l.hosts.flatMap(c => {
        const h = this.byKey.get(hostKey(c))
        return h === undefined || h.config !== c ? [] : [{ ...h.config, block: h.block }]
      }),
    }))
    for (const h of this.byKey.values()) {
      if (!h.listed) addUnlisted(localities, h)
    }
    return {
      localities,
      overprovisioningFactor: this.assignment.overprovisioningFactor,
      weightedPriorityHealth: this.assignment.weightedPriorityHealth,
      dropOverloads: this.assignment.dropOverloads,
    }
  }

  private setGauges(): void {
    let healthy = 0
    let degraded = 0
    let excluded = 0
    let weight = 0
    for (const h of this.byKey.values()) {
      const flags = h.flags()
      const state = coarseHealth(flags)
      if (state === Health.Healthy) healthy++
      else if (state === Health.Degraded) degraded++
      if (isExcluded(flags)) excluded++
      weight = Math.max(weight, h.config.weight)
    }
    this.membership.total.set(this.byKey.size)
    this.membership.healthy.set(healthy)
    this.membership.degraded.set(degraded)
    this.membership.excluded.set(excluded)
    // Envoy sets it where hosts are discovered only.
    if (this.config.type === 'EDS' || this.config.type === 'STRICT_DNS') {
      this.hadHosts ||= weight > 0
      if (this.hadHosts) this.membership.weight.set(Math.max(1, weight))
    }
    this.setTableGauges()
  }

  /** ring_hash_lb.* and maglev_lb.*: the same table is built on every worker, so main says how big it is. */
  private setTableGauges(): void {
    const policy = this.config.lb.policy
    if (policy.kind !== 'ring_hash' && policy.kind !== 'maglev') return
    const weights: number[] = []
    for (const h of this.byKey.values()) if (coarseHealth(h.flags()) === Health.Healthy) weights.push(h.config.weight)
    // In panic, or with nobody healthy, all hosts are in the table.
    if (weights.length * 2 < this.byKey.size) {
      weights.length = 0
      for (const h of this.byKey.values()) weights.push(h.config.weight)
    }
    if (weights.length > 0) tableGauges(policy, weights, (name, value) => this.stats.gauge(name).set(value))
  }
}

const UNCHECKED = HostHealth.FailedActive
const ACTIVE_BITS =
  HostHealth.FailedActive | HostHealth.DegradedActive | HostHealth.PendingActive | HostHealth.ActiveTimeout

/** With another name or in another locality it is another host with connections of its own (updateDynamicHostList). */
function sameHost(a: HostConfig, b: HostConfig): boolean {
  return a.hostname === b.hostname && a.region === b.region && a.zone === b.zone && a.subZone === b.subZone
}

/** Address and where it is checked: a host is another one when either changes. */
function hostKey(c: HostConfig): string {
  const hc = c.healthCheck
  return hc === null ? c.address.text : `${c.address.text}|${hc.address?.text ?? ''}|${hc.port}|${hc.disabled}`
}

function addUnlisted(localities: PublishedLocality[], h: MainHost): void {
  const c = h.config
  const host = { ...c, block: h.block }
  const i = localities.findIndex(
    l => l.priority === c.priority && l.region === c.region && l.zone === c.zone && l.subZone === c.subZone,
  )
  if (i >= 0) localities[i] = { ...localities[i]!, hosts: [...localities[i]!.hosts, host] }
  else
    localities.push({
      region: c.region,
      zone: c.zone,
      subZone: c.subZone,
      priority: c.priority,
      weight: 0,
      hosts: [host],
    })
}

function samePolicy(a: AssignmentConfig, b: AssignmentConfig): boolean {
  return (
    a.overprovisioningFactor === b.overprovisioningFactor &&
    a.weightedPriorityHealth === b.weightedPriorityHealth &&
    JSON.stringify(a.dropOverloads) === JSON.stringify(b.dropOverloads)
  )
}

function sameWeights(a: AssignmentConfig, b: AssignmentConfig): boolean {
  const weights = (x: AssignmentConfig) =>
    JSON.stringify(x.localities.filter(l => l.weight > 0).map(l => [l.priority, l.region, l.zone, l.subZone, l.weight]))
  return weights(a) === weights(b)
}

function sameLocalities(a: AssignmentConfig, b: AssignmentConfig): boolean {
  const names = (x: AssignmentConfig) =>
    JSON.stringify(x.localities.map(l => [l.priority, l.region, l.zone, l.subZone, l.weight]))
  return names(a) === names(b)
}
