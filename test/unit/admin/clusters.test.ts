import t from 'tap'
import { type ClusterFact, clustersHandler, type HostFact, healthFlags } from '../../../src/admin/clusters.ts'
import { HostHealth } from '../../../src/upstream/upstream.ts'
import { ask } from './fakes.ts'
import { recorded } from './recorded.ts'

const host = (over: Partial<HostFact>): HostFact => ({
  address: { ip: '127.0.0.1', port: 18101, text: '127.0.0.1:18101' },
  hostname: '',
  flags: 0,
  weight: 1,
  region: 'r1',
  zone: 'z1',
  subZone: '',
  priority: 0,
  canary: false,
  stats: {
    cx_active: 1,
    cx_connect_fail: 0,
    cx_total: 11,
    rq_active: 0,
    rq_error: 12,
    rq_pending_active: 0,
    rq_success: 24,
    rq_timeout: 0,
    rq_total: 36,
  },
  successRate: -1,
  localOriginSuccessRate: -1,
  ...over,
})

/** The cluster of the recording. */
const staticA: ClusterFact = {
  name: 'static_a',
  observabilityName: 'static_a',
  addedViaApi: false,
  edsServiceName: '',
  successRates: [
    { average: -1, threshold: -1 },
    { average: -1, threshold: -1 },
  ],
  limits: [
    [100, 50, 200, 5],
    [1000, 1024, 1024, 3],
  ],
  hosts: [
    host({ hostname: 'a1.lab', weight: 2 }),
    host({
      address: { ip: '127.0.0.1', port: 18102, text: '127.0.0.1:18102' },
      stats: {
        cx_active: 1,
        cx_connect_fail: 0,
        cx_total: 6,
        rq_active: 0,
        rq_error: 6,
        rq_pending_active: 0,
        rq_success: 11,
        rq_timeout: 0,
        rq_total: 17,
      },
    }),
  ],
}
const other: ClusterFact = { ...staticA, name: 'other', hosts: [], successRates: null }
const handler = clustersHandler(() => [other, staticA])

t.test('the text form is that of the real Envoy, line for line', async t => {
  t.equal((await ask(handler, '/clusters?filter=static')).body, recorded('clusters-static').body)
})

t.test('the JSON form is that of the real Envoy, byte for byte', async t => {
  const answer = await ask(handler, '/clusters?filter=static&format=json')
  t.equal(answer.contentType, 'application/json')
  t.equal(answer.body, recorded('clusters-static-json').body)
})

t.test('a filter that is no RE2 pattern is refused, one without a match shows nothing', async t => {
  const refused = await ask(handler, '/clusters?filter=[')
  t.equal(refused.status, 400)
  t.equal(refused.body, 'Invalid re2 regex')
  t.equal((await ask(handler, '/clusters?filter=zz')).body, '')
  t.equal((await ask(handler, '/clusters?filter=zz&format=json')).body, '{}\n')
})

t.test('an unknown format is text', async t => {
  t.match((await ask(handler, '/clusters?format=xyz')).body, /^other::observability_name::static_a\n/)
})

t.test('health flags are joined in the order of HostImpl', async t => {
  t.equal(healthFlags(0), 'healthy')
  t.equal(
    healthFlags(HostHealth.FailedActive | HostHealth.ActiveTimeout | HostHealth.FailedOutlier),
    '/failed_active_hc/failed_outlier_check/active_hc_timeout',
  )
  t.equal(healthFlags(HostHealth.EdsDraining), '/eds_status_draining')
})

t.test('JSON of an unhealthy, remote, measured host', async t => {
  const sick = host({
    flags: HostHealth.FailedActive | HostHealth.FailedEds,
    priority: 1,
    successRate: 93.5,
    address: { ip: './s', port: 0, text: './s' },
  })
  const handler = clustersHandler(() => [{ ...staticA, addedViaApi: true, edsServiceName: 'svc', hosts: [sick] }])
  const { cluster_statuses: statuses } = JSON.parse((await ask(handler, '/clusters?format=json')).body) as {
    cluster_statuses: { host_statuses: Record<string, unknown>[] }[]
  }
  t.match(statuses[0], { added_via_api: true, eds_service_name: 'svc' })
  t.match(statuses[0]?.host_statuses[0], {
    address: { pipe: { path: './s' } },
    health_status: { failed_active_health_check: true, eds_health_status: 'UNHEALTHY' },
    success_rate: { value: 93.5 },
    priority: 1,
  })
  t.match((await ask(handler, '/clusters')).body, 'static_a::eds_service_name::svc\n')
})
