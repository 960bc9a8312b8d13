import t from 'tap'
import { decodeMessage, encodeMessage } from '../../../src/config/binary.ts'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { WireError } from '../../../src/config/wire-reader.ts'
import { Batcher } from '../../../src/server/batcher.ts'
import { type ConfigChange, packed } from '../../../src/server/publisher.ts'
import { WorkloadDiscovery, workloadSource } from '../../../src/server/workload-discovery.ts'
import { StatsStore } from '../../../src/stats/store.ts'
import { WorkloadSnapshot } from '../../../src/worker/snapshot.ts'
import { readWorkload, WDS } from '../../../src/xds/resources/wds.ts'
import { XdsResource } from '../../../src/xds/resources/xds-resource.ts'

const POLICY = { rejectUnknown: false, warn() {}, countUnknown() {} }

const SLEEP = {
  uid: 'Kubernetes//Pod/demo/sleep',
  name: 'sleep-1',
  namespace: 'demo',
  addresses: [Buffer.from([10, 0, 0, 8])],
  trust_domain: 'mesh.example',
  service_account: 'sleeper',
  canonical_name: 'sleep',
  canonical_revision: 'v1',
  workload_type: 'JOB',
  workload_name: 'sleep-job',
  cluster_id: 'Kubernetes',
  locality: { region: 'r1', zone: 'z1' },
}

function bytesOf(workload: object): Uint8Array {
  return encodeMessage(WDS.typeName, workload)
}

function resource(workload: { uid: string }, bytes: Uint8Array = bytesOf(workload)): XdsResource {
  return new XdsResource(WDS, workload.uid, bytes, POLICY)
}

/** Main with one worker that has heard of everything. */
function world(max?: number) {
  const worker = new WorkloadSnapshot()
  const warnings: string[] = []
  const stats = new StatsStore()
  const apply = (change: ConfigChange): void => {
    const { workloads, removedWorkloads = [] } = packed(change)
    for (const address of removedWorkloads) worker.remove(address)
    if (workloads !== undefined) worker.putAll(workloads)
  }
  const batcher = new Batcher(apply)
  const log = { warning: (text: string) => warnings.push(text) }
  const discovery = new WorkloadDiscovery(batcher, log as never, stats, max)
  const push = (workloads: readonly { uid: string }[], removed?: readonly string[]): void => {
    const resources = workloads.map(w => resource(w))
    discovery.onUpdate({ version: '1', resources, ...(removed === undefined ? {} : { removed }) })
    batcher.flush()
  }
  const who = (ip: string): string | undefined => worker.get(ip)?.fields.workload
  return { discovery, worker, warnings, push, who, total: () => stats.value('workload_discovery.total') }
}

t.test('a workload is read as it stands on the wire', async t => {
  t.same(readWorkload(bytesOf(SLEEP)), {
    uid: SLEEP.uid,
    addresses: ['10.0.0.8'],
    name: 'sleep-1',
    namespace: 'demo',
    trustDomain: 'mesh.example',
    serviceAccount: 'sleeper',
    canonicalName: 'sleep',
    canonicalRevision: 'v1',
    workloadName: 'sleep-job',
    workloadType: 'job',
    clusterId: 'Kubernetes',
    region: 'r1',
    zone: 'z1',
  })
})

t.test('what is left out has its default', async t => {
  const { namespace, trustDomain, serviceAccount, workloadType } = readWorkload(bytesOf({ uid: 'x' }))
  t.same([namespace, trustDomain, serviceAccount, workloadType], ['default', 'cluster.local', 'default', 'deployment'])
})

t.test('addresses are what sockets print; what is none is left out, and so are too many', async t => {
  const v6 = Buffer.alloc(16)
  v6[15] = 1
  const mapped = Buffer.from('00000000000000000000ffff0a000008', 'hex')
  const addresses = [v6, mapped, Buffer.from('host'), Buffer.from('nowhere')]
  t.same(readWorkload(bytesOf({ uid: 'x', addresses })).addresses, ['::1', '10.0.0.8', '104.111.115.116'])
  t.equal(readWorkload(bytesOf({ uid: 'x', addresses: Array(100).fill(v6) })).addresses.length, 16)
})

t.test('fields that are not known are skipped, and broken bytes are refused at every cut', async t => {
  const unknown = Buffer.from('b801057a0161c23e0162', 'hex')
  t.equal(readWorkload(Buffer.concat([unknown, bytesOf(SLEEP)])).name, 'sleep-1')
  const bytes = bytesOf(SLEEP)
  for (let i = 1; i < bytes.length; i++) {
    try {
      readWorkload(bytes.subarray(0, i))
    } catch (error) {
      t.ok(error instanceof WireError)
    }
  }
  const { discovery, who } = world()
  t.throws(() =>
    discovery.onUpdate({
      version: '',
      resources: [resource(SLEEP), resource({ uid: 'bad' }, Buffer.from('0aff', 'hex'))],
      removed: [],
    }),
  )
  t.equal(who('10.0.0.8'), undefined, 'nothing of a refused response is taken over')
})

t.test('workers know who has an address', async t => {
  const { push, worker, total } = world()
  push([SLEEP], [])
  t.same(worker.get('10.0.0.8')!.fields, {
    instance: 'sleep-1',
    cluster: 'Kubernetes',
    namespace: 'demo',
    workload: 'sleep-job',
    canonicalName: 'sleep',
    canonicalRevision: 'v1',
    app: 'sleep',
    version: 'v1',
    type: 'job',
    identity: 'spiffe://mesh.example/ns/demo/sa/sleeper',
    region: 'r1',
    zone: 'z1',
    labels: [],
  })
  t.equal(worker.get('10.0.0.8'), worker.get('10.0.0.8'), 'made once')
  t.equal(worker.get('10.0.0.7'), null)
  t.equal(total(), 1)
})

const named = (uid: string, name: string, ...ips: string[]) => ({
  uid,
  workload_name: name,
  addresses: ips.map(ip => Buffer.from(ip.split('.').map(Number))),
})

t.test('changes come one by one: what is not named stays, an address that is given up is free', async t => {
  const { push, who, total } = world()
  push([named('a', 'a', '10.0.0.1', '10.0.0.2'), named('b', 'b', '10.0.0.3')], [])
  push([named('a', 'a2', '10.0.0.1')], [])
  t.same(['10.0.0.1', '10.0.0.2', '10.0.0.3'].map(who), ['a2', undefined, 'b'])
  push([], ['a', 'never'])
  t.same(['10.0.0.1', '10.0.0.3'].map(who), [undefined, 'b'])
  t.equal(total(), 1)
})

t.test('an address goes to the newest who has it, whichever end is told first', async t => {
  const { push, who } = world()
  push([named('old', 'old', '10.0.0.1')], [])
  push([named('new', 'new', '10.0.0.1')], [])
  push([], ['old'])
  t.equal(who('10.0.0.1'), 'new')
  push([named('next', 'next', '10.0.0.1')], ['new'])
  t.equal(who('10.0.0.1'), 'next')
})

t.test('state of the world: who is missing is gone', async t => {
  const { push, who } = world()
  push([named('a', 'a', '10.0.0.1'), named('b', 'b', '10.0.0.2')])
  push([named('b', 'b', '10.0.0.2')])
  t.same(['10.0.0.1', '10.0.0.2'].map(who), [undefined, 'b'])
})

t.test('there is an end to how many are known, and it is said once', async t => {
  const { push, who, warnings, total } = world(2)
  push([named('a', 'a', '10.0.0.1'), named('b', 'b', '10.0.0.2'), named('c', 'c', '10.0.0.3', '10.0.0.4')], [])
  t.same(['10.0.0.1', '10.0.0.2', '10.0.0.3'].map(who), ['a', 'b', undefined])
  t.equal(total(), 2)
  t.equal(warnings.length, 1)
  push([named('b', 'b2', '10.0.0.2')], ['a'])
  t.equal(who('10.0.0.2'), 'b2', 'those that are known go on changing')
})

t.test('a worker that starts later is told of all', async t => {
  const { push, discovery } = world()
  push([named('a', 'a', '10.0.0.1'), named('b', 'b', '10.0.0.2')], [])
  const late = new WorkloadSnapshot()
  late.putAll(packed({ workloads: discovery.all() }).workloads!)
  t.equal(late.get('10.0.0.2')!.fields.workload, 'b')
})

function bootstrap(value: object): envoy.config.bootstrap.v3.Bootstrap {
  const { message } = decodeMessage(WORKLOADS, encodeMessage(WORKLOADS, value))
  const typed_config = { type_url: `type.googleapis.com/${WORKLOADS}`, message }
  return { bootstrap_extensions: [{ name: 'metadata_discovery', typed_config }] } as never
}

const WORKLOADS = 'istio.workload.BootstrapExtension'

t.test('workloads come by ADS only', async t => {
  t.equal(workloadSource({}), null)
  t.match(workloadSource(bootstrap({ config_source: { ads: {} } })), { ads: {} })
  for (const bad of [{}, { config_source: { path_config_source: { path: '/x' } } }]) {
    t.throws(
      () => workloadSource(bootstrap(bad)),
      /by ADS only\s+at bootstrap_extensions\[0\].typed_config.config_source/,
    )
  }
})
