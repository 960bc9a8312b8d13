import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { configureLog } from '../../../src/agent/log.ts'
import { effectiveProxyConfig, type ProxyConfig } from '../../../src/agent/proxy-config.ts'
import { upstreamOf } from '../../../src/agent/xds-relay/upstream.ts'
import { certificatePath } from '../../harness/certificates.ts'

/** Valid for a day of 2020. */
const EXPIRED = `-----BEGIN CERTIFICATE-----
MIIBCjCBsgIBBTAKBggqhkjOPQQDAjASMRAwDgYDVQQDDAdleHBpcmVkMB4XDTIw
MDEwMTAwMDAwMFoXDTIwMDEwMjAwMDAwMFowEjEQMA4GA1UEAwwHZXhwaXJlZDBZ
MBMGByqGSM49AgEGCCqGSM49AwEHA0IABJ2YM50+T1B9Xm7HT/WvZZ8uh6x3NrGp
QtK4HV5VFxpSTwGCpd1ZrjkpxX16+y2+MLxn8oFHg6YsECKZ4Sk3LeIwCgYIKoZI
zj0EAwIDRwAwRAIgFxHV8Nl0LRHz6S7ZWZoT8zVjNvIfcar7PuVksnOOQwUCIA4t
ff9Eu/mwRnLKo2/AcKZD8FB9nXv88yT0VkoyKegx
-----END CERTIFICATE-----
`

const lines: string[] = []
configureLog({ write: line => void lines.push(line) })

function config(discoveryAddress: string, more: object = {}): ProxyConfig {
  return effectiveProxyConfig({
    mesh: undefined,
    env: JSON.stringify({ discoveryAddress, ...more }),
    annotation: undefined,
    serviceCluster: 'istio-proxy',
    concurrency: 1,
    cpuLimit: 0,
  })
}

/** The rules look at files below the working directory. */
function inFolder(t: { testdir: (files?: Record<string, never>) => string; teardown: (fn: () => void) => void }): void {
  const before = process.cwd()
  process.chdir(t.testdir({}))
  t.teardown(() => process.chdir(before))
}

t.test('where istiod is and what its certificate must say', async t => {
  const root = { XDS_ROOT_CA: certificatePath('ca.pem') }
  const name = (address: string, env: Record<string, string> = {}): unknown =>
    upstreamOf(config(address), { ...root, ...env }).tls?.serverName
  t.equal(name('istiod.istio-system.svc:15012'), 'istiod.istio-system.svc')
  t.equal(name('localhost:15012'), 'istiod.istio-system.svc', 'a forwarded port')
  t.equal(name('10.0.0.1:15012'), '10.0.0.1')
  t.equal(name('[fd00::1]:15012'), 'fd00::1')
  t.equal(name('10.0.0.1:15012', { ISTIOD_SAN: 'istiod-canary' }), 'istiod-canary')
  t.equal(upstreamOf(config('istiod:15010', { controlPlaneAuthPolicy: 'NONE' }), {}).tls, null)
  t.match(upstreamOf(config('unix:///run/x'), {}), { target: 'unix:/run/x', tls: null })
  for (const bad of ['istiod', ':15010', 'istiod:0', 'istiod:x']) {
    t.throws(() => upstreamOf(config(bad), root), /not host:port/)
  }
})

t.test('headers and keepalive come from the environment', async t => {
  const upstream = upstreamOf(config('unix:///x'), {
    ISTIO_META_CLUSTER_ID: 'c1',
    XDS_HEADER_Foo: 'bar',
    GRPC_KEEPALIVE_INTERVAL: '1m',
    GRPC_KEEPALIVE_TIMEOUT: '500ms',
  })
  t.same(upstream.headers, [
    ['clusterid', 'c1'],
    ['foo', 'bar'],
  ])
  t.match(upstream, { keepaliveMs: 60_000, keepaliveTimeoutMs: 500 })
  t.match(upstreamOf(config('unix:///x'), {}), { keepaliveMs: 30_000, keepaliveTimeoutMs: 10_000 })
})

t.test('roots: XDS_ROOT_CA, mounted certificates, PROV_CERT, file-mounted metadata, the config map', async t => {
  inFolder(t)
  const address = 'istiod:15012'
  const rootOf = (env: Record<string, string>, more: object = {}): unknown =>
    upstreamOf(config(address, more), env).tls?.rootPath
  t.equal(rootOf({ XDS_ROOT_CA: 'SYSTEM' }), null)
  t.throws(() => rootOf({ XDS_ROOT_CA: 'none.pem' }), /root CA file for XDS does not exist none.pem/)
  t.throws(() => rootOf({}), /does not exist .*istio\/root-cert.pem; .*controlPlaneAuthPolicy: NONE/)
  t.throws(() => rootOf({ PILOT_CERT_PROVIDER: 'none' }), /configured provider as none/)
  t.equal(rootOf({ PROV_CERT: '/etc/vm' }), '/etc/vm/root-cert.pem', 'may be filled later')
  const mounted = { proxyMetadata: { ISTIO_META_TLS_CLIENT_ROOT_CERT: certificatePath('ca.pem') } }
  t.equal(rootOf({ FILE_MOUNTED_CERTS: 'true' }, mounted), certificatePath('ca.pem'))
  mkdirSync('var/run/secrets/istio', { recursive: true })
  copyFileSync(certificatePath('ca.pem'), 'var/run/secrets/istio/root-cert.pem')
  t.equal(rootOf({}), './var/run/secrets/istio/root-cert.pem')
  mkdirSync('etc/certs', { recursive: true })
  copyFileSync(certificatePath('ca.pem'), 'etc/certs/root-cert.pem')
  t.equal(rootOf({ PROV_CERT: '/etc/vm' }), './etc/certs/root-cert.pem', 'wins over all but XDS_ROOT_CA')
})

t.test('a client certificate that cannot be read or has expired is left out with a warning', async t => {
  inFolder(t)
  const certificate = (): unknown =>
    upstreamOf(config('istiod:15012'), { PROV_CERT: '.', XDS_ROOT_CA: 'SYSTEM' }).tls?.certificate()
  t.equal(certificate(), null)
  t.match(lines.at(-1), 'cannot parse the cert chain, using token instead')
  copyFileSync(certificatePath('client.pem'), 'cert-chain.pem')
  copyFileSync(certificatePath('client.key'), 'key.pem')
  t.match(certificate(), { chain: Buffer, key: Buffer })
  writeFileSync('cert-chain.pem', EXPIRED)
  t.equal(certificate(), null)
  t.match(lines.at(-1), 'cert expired, using token instead')
})
