import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { KeySecret } from '../../../../src/agent/identity/secret.ts'
import { configureLog } from '../../../../src/agent/log.ts'
import { SdsServer } from '../../../../src/agent/sds-server.ts'
import { CertificateAuthority } from '../../../harness/toy-ca.ts'
import { until } from '../../../harness/until.ts'
import { configure, MESH, makeMesh, Pod, serverListener, works } from './mtls-pods.ts'

configureLog({ write: () => {} })

const authority = new CertificateAuthority()

t.test('certificates mounted as files are served and followed; the CA is never asked', async t => {
  const mesh = makeMesh(t)
  const mountFiles = (pod: Pod, account: string, from: CertificateAuthority): void => {
    const { key, chain } = from.identity({ uris: [`spiffe://cluster.local/ns/demo/sa/${account}`], ttlMs: 3_600_000 })
    pod.write('etc/certs/root-cert.pem', from.rootPem)
    pod.write('etc/certs/key.pem', key)
    pod.write('etc/certs/cert-chain.pem', chain)
  }
  for (const [pod, account] of [
    [mesh.server, 'server'],
    [mesh.client, 'client'],
  ] as const) {
    mountFiles(pod, account, authority)
    pod.start({ FILE_MOUNTED_CERTS: 'true', CA_ADDR: 'localhost:1' })
  }
  const files = join(mesh.client.agent.folder, 'etc/certs')
  // By name of the file, as a DestinationRule asks for it.
  await configure(mesh, MESH, {
    certificate: `file-cert:${files}/cert-chain.pem~${files}/key.pem`,
    roots: `file-root:${files}/root-cert.pem`,
  })
  const before = (await works(mesh)).headers['x-serial']
  await mesh.server.agent.says('Workload is using file mounted certificates. Skipping connecting to CA')
  mountFiles(mesh.client, 'client', authority)
  await until(async () => {
    const answer = await mesh.request()
    return answer.status === 200 && answer.headers['x-serial'] !== before
  })
  await mesh.client.agent.says(/event for file certificate .*cert-chain.pem : WRITE, pushing to proxy/)
})

t.test('workload-spiffe-credentials are the identity when all three are there', async t => {
  const pod = new Pod()
  t.teardown(() => pod.stop())
  const { key, chain } = authority.identity({ uris: ['spiffe://cluster.local/ns/demo/sa/server'], ttlMs: 3_600_000 })
  pod.write('var/run/secrets/workload-spiffe-credentials/key.pem', key)
  pod.write('var/run/secrets/workload-spiffe-credentials/cert-chain.pem', chain)
  pod.write('var/run/secrets/workload-spiffe-credentials/root-cert.pem', authority.rootPem)
  pod.start({})
  await pod.configure(serverListener(pod.agent.admin + 4, MESH))
  await pod.agent.says('workload certificate files detected, creating secret manager without caClient')
  await pod.agent.says('read certificate from file\tresource=default')
  await pod.agent.says('read certificate from file\tresource=ROOTCA')
})

t.test('a foreign SDS server on the workload socket (SPIRE) is used; ours serves files on another', async t => {
  const mesh = makeMesh(t)
  const socket = 'var/run/secrets/workload-spiffe-uds/socket'
  const spire = (account: string): SdsServer => {
    const own = authority.identity({ uris: [`spiffe://cluster.local/ns/demo/sa/${account}`], ttlMs: 3_600_000 })
    const secret: KeySecret = { kind: 'key', ...own }
    const server = new SdsServer({
      get: async name => (name === 'ROOTCA' ? { kind: 'root', roots: authority.rootPem } : secret),
    })
    t.teardown(() => server.close())
    return server
  }
  for (const [pod, account] of [
    [mesh.server, 'server'],
    [mesh.client, 'client'],
  ] as const) {
    await spire(account).listen(join(pod.agent.folder, socket), account)
    pod.write('roots.pem', authority.rootPem)
    pod.start({})
  }
  const { folder } = mesh.client.agent
  await configure(mesh)
  t.match((await works(mesh)).headers, { 'x-peer': 'spiffe://cluster.local/ns/demo/sa/client' })
  await mesh.client.agent.says(/Existing workload SDS socket found at .* will only serve files/)
  t.ok(existsSync(join(folder, 'var/run/secrets/credential-uds/files-socket')))
  const bootstrap = JSON.parse(readFileSync(join(folder, 'etc/istio/proxy/envoy-rev.json'), 'utf8'))
  t.equal(bootstrap.node.metadata['file-credential'], 'true')
  t.ok(bootstrap.static_resources.clusters.some((cluster: { name: string }) => cluster.name === 'sds-files-grpc'))
})
