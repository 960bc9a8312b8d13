import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import {
  type IdentityOptions,
  identityOptions,
  rootForCa,
  SPIFFE_FILES,
} from '../../../../src/agent/identity/options.ts'
import { secretRequest } from '../../../../src/agent/identity/secret.ts'
import { socketIsServed } from '../../../../src/agent/identity/sockets.ts'
import { readToken } from '../../../../src/agent/identity/token.ts'
import { configureLog } from '../../../../src/agent/log.ts'
import type { Env } from '../../../../src/agent/node-identity.ts'
import { effectiveProxyConfig } from '../../../../src/agent/proxy-config.ts'

let logged = ''
configureLog({
  write: line => {
    logged += line
  },
})

const CONFIG = effectiveProxyConfig({
  mesh: undefined,
  env: undefined,
  annotation: undefined,
  serviceCluster: 'x',
  concurrency: 1,
  cpuLimit: 0,
})

function options(env: Env = {}, ...present: string[]): IdentityOptions {
  return identityOptions(env, CONFIG, path => present.includes(path))
}

t.test('defaults are those of Istio', t => {
  t.match(options(), {
    caAddress: 'istiod.istio-system.svc:15012',
    caSan: '',
    trustDomain: 'cluster.local',
    keyKind: { type: 'rsa', bits: 2048 },
    pkcs8: false,
    secretTtlMs: 86_400_000,
    gracePeriodRatio: 0.5,
    gracePeriodRatioJitter: 0.01,
    fileDebounceMs: 100,
    outputFolder: '',
    provisionedFolder: '',
    fileMounted: false,
    files: { chain: './etc/certs/cert-chain.pem', key: './etc/certs/key.pem', root: './etc/certs/root-cert.pem' },
    socketFile: 'socket',
    inKubernetes: false,
  })
  t.end()
})

t.test('every variable is read', t => {
  const env = {
    CA_HEADER_X_ONE: '1',
    ISTIO_META_CLUSTER_ID: 'c',
    ISTIO_META_CERT_SIGNER: 's',
    TRUST_DOMAIN: 'td',
    POD_NAMESPACE: 'ns',
    SERVICE_ACCOUNT: 'sa',
    ECC_SIGNATURE_ALGORITHM: 'ECDSA',
    ECC_CURVE: 'P384',
    PKCS8_KEY: 'true',
    SECRET_TTL: '1h30m',
    SECRET_GRACE_PERIOD_RATIO: '0.2',
    SECRET_GRACE_PERIOD_RATIO_JITTER: '0',
    FILE_DEBOUNCE_DURATION: '5ms',
    OUTPUT_CERTS: '/out',
    FILE_MOUNTED_CERTS: 'true',
    KUBERNETES_SERVICE_HOST: '10.0.0.1',
  }
  t.match(options(env), {
    caHeaders: [['x_one', '1']],
    clusterId: 'c',
    certSigner: 's',
    trustDomain: 'td',
    namespace: 'ns',
    serviceAccount: 'sa',
    keyKind: { type: 'ec', curve: 'P384' },
    pkcs8: true,
    secretTtlMs: 5_400_000,
    gracePeriodRatio: 0.2,
    gracePeriodRatioJitter: 0,
    fileDebounceMs: 5,
    outputFolder: '/out',
    fileMounted: true,
    inKubernetes: true,
  })
  t.match(options({ WORKLOAD_RSA_KEY_SIZE: '4096' }).keyKind, { bits: 4096 })
  t.end()
})

t.test('ISTIOD_SAN names the CA only while that is istiod', t => {
  t.match(options({ ISTIOD_SAN: 'san' }), { caSan: 'san' })
  t.match(options({ ISTIOD_SAN: 'san', CA_ADDR: 'ca:1' }), { caSan: '', caAddress: 'ca:1' })
  t.end()
})

t.test('the roots to trust the CA by: CA_ROOT_CA, custom, PROV_CERT, then the mounted ones', t => {
  const root = (env: Env, ...present: string[]): string => rootForCa(options(env), path => present.includes(path))
  const mounted = './var/run/secrets/istio/root-cert.pem'
  t.equal(root({}, mounted), mounted)
  t.throws(() => root({}), /root CA file for CA does not exist \.\/var\/run/)
  t.equal(root({ CA_ROOT_CA: 'SYSTEM' }), '')
  t.equal(root({ CA_ROOT_CA: '/r' }, '/r'), '/r')
  t.equal(root({ PILOT_CERT_PROVIDER: 'custom' }, './etc/certs/root-cert.pem'), './etc/certs/root-cert.pem')
  t.equal(root({ PROV_CERT: '/p' }), '/p/root-cert.pem', 'which may appear later')
  t.throws(() => root({ PILOT_CERT_PROVIDER: 'none' }, mounted), /configured provider as none/)
  t.end()
})

t.test('workload-spiffe-credentials count when all three are there; GKE has other names for them', t => {
  const all = Object.values(SPIFFE_FILES)
  t.match(options({}, ...all), { fileMounted: true, files: SPIFFE_FILES })
  t.match(options({}, ...all.slice(1)), { fileMounted: false })
  const folder = './var/run/secrets/workload-spiffe-credentials'
  const gke = ['certificates', 'private_key', 'ca_certificates'].map(name => `${folder}/${name}.pem`)
  t.match(options({ CA_PROVIDER: 'GkeWorkloadCertificate' }, ...gke), { fileMounted: true, files: { chain: gke[0] } })
  t.throws(() => options({ CA_PROVIDER: 'GkeWorkloadCertificate' }), /GKE workload certificate files .* not present/)
  t.end()
})

t.test('what cannot be meant is refused by name', t => {
  t.throws(() => options({ SECRET_TTL: '1 day' }), /SECRET_TTL=1 day: expected a duration/)
  t.throws(() => options({ SECRET_GRACE_PERIOD_RATIO: 'x' }), /SECRET_GRACE_PERIOD_RATIO=x: expected a number/)
  t.throws(() => options({ CREDENTIAL_FETCHER_TYPE: 'GoogleComputeEngine' }), /CREDENTIAL_FETCHER_TYPE/)
  t.throws(() => options({ WORKLOAD_IDENTITY_SOCKET_FILE: '../x' }), /must be a filename, not a path/)
  t.throws(() => options({ 'CA_HEADER_A:B': '1' }), /is not the name of a header/)
  logged = ''
  options({ PKCS8_KEY: 'yes' })
  t.match(logged, 'Invalid environment variable value `yes`')
  options({ JWT_POLICY: 'first-party-jwt' })
  t.match(logged, "Using deprecated JWT policy 'first-party-jwt'")
  t.end()
})

t.test('resource names', t => {
  t.same(secretRequest('default'), { from: 'workload' })
  t.same(secretRequest('ROOTCA'), { from: 'root' })
  t.same(secretRequest('file-cert:/a~/b'), { from: 'key-files', chain: '/a', key: '/b' })
  t.same(secretRequest('file-root:/a'), { from: 'root-file', path: '/a' })
  t.same(secretRequest('file-root:system'), { from: 'system-roots' })
  for (const malformed of ['file-cert:/a', 'file-cert:/a~/b~/c', 'file-cert:~/b', 'file-root:', 'file-root:/a~/b']) {
    t.same(secretRequest(malformed), { from: 'workload' }, malformed)
  }
  t.end()
})

t.test('the token is read anew and trimmed; without it the call goes on without', t => {
  const folder = mkdtempSync(join(tmpdir(), 'remora-token-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'token')
  t.equal(readToken(path), '')
  t.match(logged, 'failed to fetch token from file: ENOENT')
  writeFileSync(path, 'one\n')
  t.equal(readToken(path), 'one')
  writeFileSync(path, 'two')
  t.equal(readToken(path), 'two')
  t.end()
})

t.test('a socket that is served is left alone, one that nobody serves is removed, a file is no socket', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'remora-socket-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'socket')
  t.equal(await socketIsServed(path), false)
  const server = createServer()
  await new Promise<void>(resolve => server.listen(path, resolve))
  t.equal(await socketIsServed(path), true)
  t.ok(existsSync(path))
  await new Promise(resolve => server.close(resolve))
  // Dies without closing.
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 9))`
  spawnSync(process.execPath, ['-e', script])
  t.ok(existsSync(path))
  t.equal(await socketIsServed(path), false)
  t.notOk(existsSync(path))
  writeFileSync(path, '')
  t.equal(await socketIsServed(path), false)
  t.ok(existsSync(path))
})
