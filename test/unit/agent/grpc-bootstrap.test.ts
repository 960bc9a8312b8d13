import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { GrpcReadiness, grpcBootstrap, grpcBootstrapPath } from '../../../src/agent/grpc-bootstrap.ts'
import type { NodeIdentity } from '../../../src/agent/node-identity.ts'

const node: NodeIdentity = {
  type: 'sidecar',
  addresses: ['127.0.0.1'],
  name: 'pod1.fake-namespace',
  domain: 'fake-namespace.svc.cluster.local',
  id: 'sidecar~127.0.0.1~pod1.fake-namespace~fake-namespace.svc.cluster.local',
  cluster: 'istio-proxy',
  locality: {},
  metadata: {
    WORKLOAD_IDENTITY_SOCKET_FILE: 'socket',
    PILOT_SAN: ['istiod.istio-system.svc'],
    METADATA_DISCOVERY: 'false',
    ISTIO_VERSION: 'version',
    INSTANCE_IPS: '127.0.0.1',
  },
}

t.test("the text is that of Istio's golden file", async t => {
  const golden = readFileSync(join(import.meta.dirname, '../../fixtures/agent/grpc-bootstrap_golden.json'), 'utf8')
  t.equal(grpcBootstrap({ node, xdsSocket: './etc/istio/XDS', certificates: '/cert/path' }), golden)
})

t.test(
  'without OUTPUT_CERTS no certificates are named; metadata is sorted at every level and escaped as Go does',
  async t => {
    const metadata = {
      ...node.metadata,
      LABELS: { b: '<&>', a: [{ d: 1, c: null }] },
      MESH_ID: '',
      app: 'not known by name',
    }
    const text = grpcBootstrap({ node: { ...node, metadata }, xdsSocket: '/run/XDS', certificates: '' })
    t.notMatch(text, /certificate_providers|MESH_ID|not known/)
    t.match(text, '"server_uri": "unix:////run/XDS"')
    t.match(text.replaceAll(/\s+/g, ''), '"LABELS":{"a":[{"c":null,"d":1}],"b":"\\u003c\\u0026\\u003e"}')
  },
)

t.test('booleans are there when true; ports are a list', async t => {
  const metadata = {
    DNS_CAPTURE: 'true',
    ENABLE_HBONE: 'false',
    POD_PORTS: '[{"containerPort":8080,"protocol":"TCP"}]',
  }
  const text = grpcBootstrap({ node: { ...node, metadata }, xdsSocket: 'XDS', certificates: '' })
  t.same(JSON.parse(text).node.metadata, {
    DNS_CAPTURE: 'true',
    GENERATOR: 'grpc',
    POD_PORTS: [{ containerPort: 8080, protocol: 'TCP' }],
  })
})

t.test('GRPC_XDS_BOOTSTRAP moves the file; empty, there is none', async t => {
  t.equal(grpcBootstrapPath({}), './etc/istio/proxy/grpc-bootstrap.json')
  t.equal(grpcBootstrapPath({ GRPC_XDS_BOOTSTRAP: '/x' }), '/x')
  t.equal(grpcBootstrapPath({ GRPC_XDS_BOOTSTRAP: '' }), '')
})

t.test('readiness: the file once, the certificates that it names each time', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'remora-grpc-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'b.json')
  const readiness = new GrpcReadiness(path)
  t.match(readiness.check(), /^failed loading .*b\.json: /)
  writeFileSync(path, grpcBootstrap({ node, xdsSocket: 'XDS', certificates: folder }))
  t.equal(readiness.check(), `${folder}/cert-chain.pem does not exist`)
  for (const name of ['cert-chain.pem', 'key.pem', 'root-cert.pem']) writeFileSync(join(folder, name), '')
  t.equal(readiness.check(), undefined)
  rmSync(path)
  t.equal(readiness.check(), undefined)
  rmSync(join(folder, 'root-cert.pem'))
  t.equal(readiness.check(), `${folder}/root-cert.pem does not exist`)
})
