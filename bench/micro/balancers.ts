/** A pick of every load balancing policy, and what it takes to build its table: `node bench/micro/balancers.ts [hosts]`. */
import { XorShift } from '../../src/base/random.ts'
import { xxHash64 } from '../../src/base/xxhash64.ts'
import type { Runtime } from '../../src/config/services.ts'
import type { StatsScope } from '../../src/stats/stats.ts'
import type { LbConfig, LbPolicy } from '../../src/upstream/cluster-config.ts'
import { ClusterStats } from '../../src/upstream/cluster-stats.ts'
import { WorkerHost } from '../../src/upstream/host.ts'
import { PrioritySet } from '../../src/upstream/host-set.ts'
import { createBalancer } from '../../src/upstream/load-balancing-policies/create.ts'
import { HOST_BLOCK, SharedPages, SharedStateAllocator } from '../../src/upstream/shared-state.ts'
import { ANY_REQUEST, type Cluster } from '../../src/upstream/upstream.ts'
import { measure } from './reference.ts'

const HOSTS = Number(process.argv[2] ?? 100)
const PICKS = 100_000

const policies: LbPolicy[] = [
  { kind: 'round_robin', slowStart: null },
  {
    kind: 'least_request',
    choiceCount: 2,
    fullScan: false,
    activeRequestBias: { value: 1, key: '' },
    slowStart: null,
  },
  { kind: 'random' },
  {
    kind: 'ring_hash',
    minimumRingSize: 1024,
    maximumRingSize: 8388608,
    murmur: false,
    useHostname: false,
    balanceFactor: 0,
  },
  { kind: 'maglev', tableSize: 65537, useHostname: false, balanceFactor: 0 },
]

const cell = { inc() {}, dec() {}, add() {}, set() {}, record() {} }
const nowhere: StatsScope = { counter: () => cell, gauge: () => cell, histogram: () => cell, scope: () => nowhere }
const runtime: Runtime = {
  get: () => undefined,
  integer: (_k, v) => v,
  double: (_k, v) => v,
  boolean: (_k, v) => v,
  fraction: () => true,
}

const allocator = new SharedStateAllocator(1)
const pages = new SharedPages()

function makeHosts(weighted: boolean): WorkerHost[] {
  const hosts: WorkerHost[] = []
  for (let i = 0; i < HOSTS; i++) {
    const block = allocator.allocate(HOST_BLOCK)
    pages.add(allocator.view(0, block.page))
    const ip = `10.0.${i >> 8}.${i & 255}`
    const published = {
      address: { ip, port: 80, text: `${ip}:80` },
      hostname: '',
      weight: weighted ? 1 + (i % 7) : 1,
      priority: 0,
      region: '',
      zone: '',
      subZone: '',
      healthStatus: 'UNKNOWN' as const,
      metadata: null,
      healthCheck: null,
      block,
    }
    hosts.push(new WorkerHost({} as Cluster, published, pages.cells(block)))
  }
  return hosts
}

const hashes = Array.from({ length: 1024 }, (_, i) => xxHash64(`key${i}`))

for (const policy of policies) {
  for (const weighted of [false, true]) {
    const config: LbConfig = {
      policy,
      healthyPanicThreshold: 50,
      localityWeighted: false,
      zoneAware: {
        routingEnabled: 100,
        minClusterSize: 6,
        failTrafficOnPanic: false,
        forceLocalityDirectRouting: false,
      },
      ignoreNewHostsUntilFirstHc: false,
      closeConnectionsOnHostSetChange: false,
      overrideHostStatus: [],
    }
    const balancer = createBalancer({
      config,
      stats: new ClusterStats(nowhere),
      random: new XorShift(1),
      runtime,
      timers: { arm() {}, cancel() {}, suspend() {}, now: () => 0 },
      localHosts: () => null,
      clusterActiveRequests: () => 0,
    })
    const hosts = makeHosts(weighted)
    const set = PrioritySet.build([[{ region: '', zone: '', subZone: '', weight: 0, hosts }]], 140, false, null)
    const context = { ...ANY_REQUEST, hash: null as bigint | null }
    const name = `${policy.kind}${weighted ? ', weights' : ''}, ${HOSTS} hosts`
    balancer.update(set)
    measure(
      `pick, ${name}`,
      () => {
        for (let i = 0; i < PICKS; i++) {
          context.hash = hashes[i & 1023]!
          balancer.pick(context)
        }
      },
      PICKS,
    )
    measure(
      `table, ${name}`,
      () => {
        balancer.update(set)
        context.hash = hashes[0]!
        balancer.pick(context)
      },
      1,
    )
  }
}
