import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { status } from '@grpc/grpc-js'
import { Registry } from 'prom-client'
import t from 'tap'
import { type CaClientOptions, IstioCaClient } from '../../../../src/agent/identity/ca-client.ts'
import { certificateRequest } from '../../../../src/agent/identity/csr.ts'
import { keyKind, newKeyPair } from '../../../../src/agent/identity/key-pair.ts'
import { IdentityMetrics } from '../../../../src/agent/identity/metrics.ts'
import { configureLog } from '../../../../src/agent/log.ts'
import { CertificateAuthority } from '../../../harness/toy-ca.ts'
import { CaServer } from '../../../harness/toy-ca-server.ts'

let logged = ''
configureLog({
  write: line => {
    logged += line
  },
})

const authority = new CertificateAuthority()
const server = new CaServer({
  authority,
  authenticate: ({ token }) => (token.startsWith('good') ? 'spiffe://td/ns/n/sa/s' : undefined),
})
const port = await server.listen('127.0.0.1:0', ['istiod.istio-system.svc'])
const folder = mkdtempSync(join(tmpdir(), 'remora-ca-'))
const rootFile = join(folder, 'root.pem')
writeFileSync(rootFile, authority.rootPem)
const csr = certificateRequest(await newKeyPair(keyKind(0, 'ECDSA', '')), 'spiffe://td/ns/n/sa/s')
t.teardown(() => {
  server.close()
  rmSync(folder, { recursive: true })
})

function client(changes: Partial<CaClientOptions> = {}): IstioCaClient {
  return new IstioCaClient({
    address: `localhost:${port}`,
    san: '',
    rootFile,
    provisionedFolder: '',
    clusterId: 'Kubernetes',
    certSigner: 'signer',
    headers: [['x-extra', 'one']],
    token: () => 'good',
    metrics: new IdentityMetrics(new Registry()),
    ...changes,
  })
}

t.test('a request carries token, cluster, signer, headers and lifetime; the answer is leaf and root', async t => {
  let read = 0
  const ca = client({ token: () => `good-${++read}` })
  const chain = await ca.sign(csr, 86_400_000)
  t.equal(chain.length, 2)
  t.equal(chain[1], authority.rootPem)
  await ca.sign(csr, 1000)
  const [first, second] = server.requests
  t.match(first, {
    token: 'good-1',
    clusterId: 'Kubernetes',
    certSigner: 'signer',
    ttlSeconds: 86400,
    uris: ['spiffe://td/ns/n/sa/s'],
  })
  t.equal(first?.header('x-extra'), 'one')
  t.equal(second?.token, 'good-2', 'the token is read for every call')
})

t.test(
  'localhost is istiod behind a forwarded port; an address is verified as address; ISTIOD_SAN as name',
  async t => {
    await t.resolves(client({ address: `127.0.0.1:${port}` }).sign(csr, 1000))
    await t.resolves(client({ address: `127.0.0.1:${port}`, san: 'istiod.istio-system.svc' }).sign(csr, 1000))
    await t.rejects(client({ san: 'other.svc' }).sign(csr, 1000), /create certificate: rpc error: code = Unavailable/)
    writeFileSync(join(folder, 'other.pem'), new CertificateAuthority().rootPem)
    const before = server.requests.length
    await t.rejects(client({ rootFile: join(folder, 'other.pem') }).sign(csr, 1000), /code = Unavailable/)
    t.equal(server.requests.length, before, 'nothing was said to a server that is not trusted')
  },
)

t.test('what may pass is tried five times, what will not is tried once', async t => {
  const before = server.requests.length
  server.failure = { code: status.UNAVAILABLE, details: 'starting' }
  await t.rejects(client().sign(csr, 1000), /rpc error: code = Unavailable desc = starting/)
  t.equal(server.requests.length - before, 5)
  t.match(logged, /ca request failed, starting attempt 4 in \d/)
  t.match(logged, 'failed to sign CSR: create certificate: rpc error: code = Unavailable desc = starting')
  server.failure = null
  await t.rejects(
    client({ token: () => 'bad' }).sign(csr, 1000),
    /code = Unauthenticated desc = request authenticate failure/,
  )
  t.equal(server.requests.length - before, 6)
})

t.test('a client certificate (PROV_CERT) is shown while it is valid, and left out when it has expired', async t => {
  const strict = new CaServer({ authority, clientCertificates: true })
  t.teardown(() => strict.close())
  const address = `localhost:${await strict.listen('127.0.0.1:0', ['istiod.istio-system.svc'])}`
  const shown = authority.identity({ uris: ['spiffe://td/ns/n/sa/vm'], ttlMs: 60_000 })
  writeFileSync(join(folder, 'cert-chain.pem'), shown.chain)
  writeFileSync(join(folder, 'key.pem'), shown.key)
  await client({ address, provisionedFolder: folder }).sign(csr, 1000)
  t.equal(strict.requests.at(-1)?.peer, 'URI:spiffe://td/ns/n/sa/vm')
  writeFileSync(join(folder, 'cert-chain.pem'), authority.identity({ uris: ['spiffe://x'], ttlMs: -1000 }).chain)
  await client({ provisionedFolder: folder }).sign(csr, 1000)
  t.match(logged, 'cert expired, using token instead')
})

t.test('an answer with one certificate or none is none', async t => {
  server.rootIncluded = false
  await t.rejects(client().sign(csr, 1000), /invalid empty CertChain/)
  server.rootIncluded = true
})

t.test('an agent that ends does not wait for a CA that says nothing', async t => {
  const silent = createServer(() => {})
  await new Promise<void>(resolve => silent.listen(0, '127.0.0.1', resolve))
  const ca = client({ address: `127.0.0.1:${(silent.address() as AddressInfo).port}`, rootFile: undefined })
  const connected = new Promise(resolve => silent.once('connection', resolve))
  const signing = ca.sign(csr, 1000)
  const socket = (await connected) as Socket
  ca.close()
  await t.rejects(signing, /code = Canceled/)
  socket.destroy()
  silent.close()
})
