import t from 'tap'
import { LabelFacts, type Reporter } from '../../../src/telemetry/istio-stats/labels.ts'
import { StreamInfo } from '../../../src/telemetry/stream-info.ts'
import {
  DOWNSTREAM_PEER_OBJECT,
  UPSTREAM_PEER_OBJECT,
  WorkloadMetadata,
} from '../../../src/telemetry/workload-metadata.ts'

const peer = new WorkloadMetadata({ workload: 'a' })
const SERVICE = { istio: { services: [{ host: 'a.demo.svc', name: 'a', namespace: 'demo' }] } }

function factsOf(reporter: Reporter, change: (info: StreamInfo) => void, host = 'a.demo'): LabelFacts {
  const info = new StreamInfo()
  info.routeName = 'default'
  info.upstreamClusterName = 'outbound|80||a.demo.svc'
  info.clusterMetadata = SERVICE
  change(info)
  const facts = new LabelFacts()
  facts.read(reporter, info, info, host)
  return facts
}

const own = {
  workload: '',
  namespace: '',
  canonicalName: '',
  canonicalRevision: '',
  app: '',
  version: '',
  cluster: '',
  istioVersion: '',
}

function labelsOf(reporter: Reporter, facts: LabelFacts): string[] {
  const tags: string[] = []
  facts.securityLabels(tags, facts.peerLabels(tags, reporter, own))
  return tags
}

const changes: Readonly<Record<string, (info: StreamInfo) => void>> = {
  'a route of its own': info => {
    info.routeName = 'block_all'
  },
  'another cluster': info => {
    info.upstreamClusterName = 'PassthroughCluster'
  },
  'metadata of the cluster': info => {
    info.clusterMetadata = { istio: { services: [{ host: 'b.demo.svc', name: 'b', namespace: 'demo' }] } }
  },
  'a response flag': info => info.setFlag(1),
}
const ofReporter: Readonly<Record<Reporter, Readonly<Record<string, (info: StreamInfo) => void>>>> = {
  source: {
    'the peer': info => info.setFilterState(UPSTREAM_PEER_OBJECT, peer, 'none', ''),
    'metadata of the host': info => {
      info.hostMetadata = { istio: { workload: 'w;demo;w;v1;Kubernetes' } }
    },
  },
  destination: {
    'the peer': info => info.setFilterState(DOWNSTREAM_PEER_OBJECT, peer, 'none', ''),
    'the principal of the peer': info =>
      info.setFilterState('io.istio.peer_principal', 'spiffe://x/ns/n/sa/s', 'none', ''),
    'the own principal': info => info.setFilterState('io.istio.local_principal', 'spiffe://x/ns/n/sa/s', 'none', ''),
  },
  waypoint: {
    'the server': info => info.setFilterState(UPSTREAM_PEER_OBJECT, peer, 'none', ''),
  },
}

for (const reporter of ['source', 'destination', 'waypoint'] as const) {
  t.test(`${reporter}: facts are equal when nothing differs, and differ wherever the labels do`, async t => {
    const plain = factsOf(reporter, () => {})
    t.ok(factsOf(reporter, () => {}).equals(plain))
    for (const [what, change] of Object.entries({ ...changes, ...ofReporter[reporter] })) {
      const other = factsOf(reporter, change)
      t.notSame(labelsOf(reporter, other), labelsOf(reporter, plain), what)
      t.notOk(other.equals(plain), what)
    }
    const host = factsOf(reporter, info => (info.clusterMetadata = null), 'b.demo')
    t.notOk(host.equals(factsOf(reporter, info => (info.clusterMetadata = null))), 'the host')
  })
}
