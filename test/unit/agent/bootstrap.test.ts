import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { makeBootstrap } from '../../../src/agent/bootstrap.ts'
import { configureLog } from '../../../src/agent/log.ts'
import { nodeIdentity, readDownwardApi } from '../../../src/agent/node-identity.ts'
import { effectiveProxyConfig, type ProxyConfig } from '../../../src/agent/proxy-config.ts'

configureLog({ write: () => {} })

type Json = Record<string, never>
const istio = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../fixtures/agent/istio-bootstrap.json'), 'utf8'),
) as Json

const env = {
  POD_NAME: 'sleep',
  POD_NAMESPACE: 'demo',
  INSTANCE_IP: '10.77.0.10',
  SERVICE_ACCOUNT: 'sleep',
  ISTIO_META_APP_CONTAINERS: 'app',
  ISTIO_META_CLUSTER_ID: 'Kubernetes',
  ISTIO_META_INTERCEPTION_MODE: 'REDIRECT',
  ISTIO_META_MESH_ID: 'cluster.local',
  ISTIO_META_NODE_NAME: 'node1',
  ISTIO_META_OWNER: 'kubernetes://apis/apps/v1/namespaces/demo/deployments/sleep',
  ISTIO_META_POD_PORTS: '[{"containerPort":8080,"protocol":"TCP"}]',
  ISTIO_META_WORKLOAD_NAME: 'sleep',
}

function config(changes: object = {}, rest: Partial<Parameters<typeof effectiveProxyConfig>[0]> = {}): ProxyConfig {
  return effectiveProxyConfig({
    mesh: undefined,
    env: JSON.stringify({ discoveryAddress: 'localhost:15010', controlPlaneAuthPolicy: 'NONE', ...changes }),
    annotation: undefined,
    serviceCluster: 'istio-proxy',
    concurrency: 2,
    cpuLimit: 0,
    ...rest,
  })
}

function bootstrap(changes: object = {}, more: Record<string, string> = {}): Json {
  const all = { ...env, ...more }
  const effective = config(changes)
  const node = nodeIdentity({
    type: 'sidecar',
    env: all,
    domain: 'demo.svc.cluster.local',
    config: effective,
    labels: 'app="sleep"\nsecurity.istio.io/tlsMode="istio"\n',
    annotations: undefined,
    localAddresses: ['127.0.0.1', '::1'],
  })
  const sds = { workloadSocket: './var/run/secrets/workload-spiffe-uds/socket', filesSocket: undefined }
  return JSON.parse(JSON.stringify(makeBootstrap({ node, config: effective, env: all, logAsJson: false, sds }))) as Json
}

/** The value at a path of keys. */
function at(value: unknown, ...keys: (string | number)[]): unknown {
  return keys.reduce<unknown>((v, key) => (v as Record<string | number, unknown> | undefined)?.[key], value)
}

t.test('equal to what Istio makes for the same pod', async t => {
  const proxyConfig = at(istio, 'node', 'metadata', 'PROXY_CONFIG') as unknown as object
  const version = at(istio, 'node', 'metadata', 'ISTIO_VERSION') as string
  t.same(bootstrap(proxyConfig, { ISTIO_META_ISTIO_VERSION: version }), istio)
})

t.test('the control plane is the relay of the agent, as Istio has it; delta unless it is turned off', async t => {
  const cluster = (from: Json): unknown =>
    (at(from, 'static_resources', 'clusters') as { name: string }[]).find(({ name }) => name === 'xds-grpc')
  t.same(cluster(bootstrap()), cluster(istio))
  t.equal(at(bootstrap(), 'dynamic_resources', 'ads_config', 'api_type'), 'DELTA_GRPC')
  t.equal(at(bootstrap({}, { ISTIO_DELTA_XDS: 'false' }), 'dynamic_resources', 'ads_config', 'api_type'), 'GRPC')
  t.throws(() => config({ controlPlaneAuthPolicy: 'SOMETIMES' }), /MUTUAL_TLS or NONE/)
})

t.test('runtime values: "" removes a default, true and false become booleans', async t => {
  const runtimeValues = { 're2.max_program_size.error_level': '', a: 'true', b: '1' }
  const layer = at(bootstrap({ runtimeValues }), 'layered_runtime', 'layers', 0, 'static_layer')
  t.match(layer, { a: true, b: '1' })
  t.notOk(Object.hasOwn(layer as object, 're2.max_program_size.error_level'))
})

t.test('an IPv6-only pod has its listeners and admin on IPv6', async t => {
  const effective = config()
  const all = { ...env, INSTANCE_IP: 'fd00::2' }
  const node = nodeIdentity({
    type: 'sidecar',
    env: all,
    domain: '',
    config: effective,
    labels: undefined,
    annotations: undefined,
    localAddresses: ['fd00::2'],
  })
  const made = makeBootstrap({ node, config: effective, env: all, logAsJson: true })
  t.equal(at(made, 'admin', 'address', 'socket_address', 'address'), '::1')
  t.equal(at(made, 'static_resources', 'listeners', 0, 'name'), '::_15090')
  t.equal(node.id, 'sidecar~fd00::2~sleep.demo~demo.svc.cluster.local')
})

t.test('ProxyConfig: defaults < mesh file < PROXY_CONFIG < annotation, maps merged by key', async t => {
  const merged = effectiveProxyConfig({
    mesh: 'defaultConfig:\n  drainDuration: 10s\n  concurrency: 3\n  statusPort: 1\n  runtimeValues: { a: m, b: m }\n',
    env: 'drainDuration: 20s\nstatusPort: 2\nruntimeValues: { b: e }\n',
    annotation: 'statusPort: 3\n',
    serviceCluster: 'x',
    concurrency: 0,
    cpuLimit: 1,
  })
  t.match(merged, {
    drainDurationMs: 20_000,
    terminationDrainDurationMs: 5000,
    statusPort: 3,
    concurrency: 3,
    proxyAdminPort: 15000,
    runtimeValues: { a: 'm', b: 'e' },
  })
  t.throws(() => config({}, { env: '[]' }), /PROXY_CONFIG: expected a mapping/)
  t.throws(() => config({}, { env: 'a: [' }), /PROXY_CONFIG is not valid YAML/)
  t.throws(() => config({ statusPort: 'x' }), /statusPort: expected a number/)
})

t.test('node metadata: ISTIO_METAJSON, labels of the pod, broken JSON is left out', async t => {
  const metadata = at(
    bootstrap({}, { ISTIO_METAJSON_LABELS: '{"v":"1"}', ISTIO_METAJSON_X: '{"k":1}', ISTIO_METAJSON_Y: '{' }),
    'node',
    'metadata',
  )
  t.match(metadata, { LABELS: { app: 'sleep', v: '1' }, STATIC_LABELS: { v: '1' }, k: 1 })
  t.same(readDownwardApi('a="b\\"c"\nnonsense\nd="e"'), { a: 'b"c', d: 'e' })
})
