import { X509Certificate } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import t from 'tap'
import type { CaClient } from '../../../../src/agent/identity/ca-client.ts'
import { mergeRoots, splitCertificates } from '../../../../src/agent/identity/certificate-pem.ts'
import { IdentityMetrics } from '../../../../src/agent/identity/metrics.ts'
import { type IdentityOptions, identityOptions } from '../../../../src/agent/identity/options.ts'
import type { Schedule } from '../../../../src/agent/identity/schedule.ts'
import type { KeySecret, RootSecret } from '../../../../src/agent/identity/secret.ts'
import { renewalDelay, SecretManager } from '../../../../src/agent/identity/secret-manager.ts'
import { configureLog } from '../../../../src/agent/log.ts'
import { effectiveProxyConfig } from '../../../../src/agent/proxy-config.ts'
import { readCertificateRequest } from '../../../harness/certificate-request.ts'
import { CertificateAuthority } from '../../../harness/toy-ca.ts'

let logged = ''
configureLog({
  write: line => {
    logged += line
  },
})

const HOUR = 3_600_000
const FIRST = new CertificateAuthority('first')
const SECOND = new CertificateAuthority('second')

/** Time that moves when it is told to. */
class ManualSchedule implements Schedule {
  now = Date.now()
  readonly #waiting = new Set<{ at: number; callback: () => void }>()

  wall(): number {
    return this.now
  }

  after(milliseconds: number, callback: () => void): () => void {
    const entry = { at: this.now + milliseconds, callback }
    this.#waiting.add(entry)
    return () => this.#waiting.delete(entry)
  }

  /** Milliseconds until the next; undefined: nothing waits. */
  get next(): number | undefined {
    const times = [...this.#waiting].map(entry => entry.at - this.now)
    return times.length === 0 ? undefined : Math.min(...times)
  }

  advance(milliseconds: number): void {
    this.now += milliseconds
    for (const entry of [...this.#waiting]) {
      if (entry.at > this.now || !this.#waiting.delete(entry)) continue
      entry.callback()
    }
  }
}

class FakeCa implements CaClient {
  authority = FIRST
  failure: Error | null = null
  calls = 0
  readonly #schedule: ManualSchedule

  constructor(schedule: ManualSchedule) {
    this.#schedule = schedule
  }

  async sign(csr: string, ttlMs: number): Promise<string[]> {
    this.calls++
    if (this.failure !== null) throw this.failure
    const { publicKey, uris } = readCertificateRequest(csr)
    // The authority counts from the real now, the manager from the manual one.
    const leaf = this.authority.issue({ publicKey, uris, ttlMs: ttlMs + this.#schedule.now - Date.now() })
    return [leaf, this.authority.rootPem]
  }

  close(): void {}
}

function setUp(
  t: { teardown: (fn: () => void) => void },
  env: Record<string, string> = {},
  changes: Partial<IdentityOptions> = {},
): { manager: SecretManager; ca: FakeCa; schedule: ManualSchedule; updates: string[]; registry: Registry } {
  const config = effectiveProxyConfig({
    mesh: undefined,
    env: undefined,
    annotation: undefined,
    serviceCluster: 'x',
    concurrency: 1,
    cpuLimit: 0,
  })
  const base = { ECC_SIGNATURE_ALGORITHM: 'ECDSA', POD_NAMESPACE: 'demo', SERVICE_ACCOUNT: 'echo', ...env }
  const schedule = new ManualSchedule()
  const ca = new FakeCa(schedule)
  const registry = new Registry()
  const manager = new SecretManager({
    options: { ...identityOptions(base, config, existsSync), ...changes },
    ca,
    metrics: new IdentityMetrics(registry),
    schedule,
  })
  const updates: string[] = []
  manager.onUpdate = name => updates.push(name)
  t.teardown(() => manager.close())
  return { manager, ca, schedule, updates, registry }
}

/** Lets promises and the thread pool's key generation go on until the condition holds. */
async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('condition not met')
    await new Promise(resolve => setImmediate(resolve))
  }
}

t.test(
  'one request serves all who ask at once; the key fits, the name is the SPIFFE id, the root is the last',
  async t => {
    const { manager, ca } = setUp(t)
    const [a, b, root] = (await Promise.all([manager.get('default'), manager.get('other'), manager.get('ROOTCA')])) as [
      KeySecret,
      KeySecret,
      RootSecret,
    ]
    t.equal(ca.calls, 1)
    t.same(a, b, 'a name that is nothing else is the workload')
    const leaf = new X509Certificate(a.chain)
    t.equal(leaf.subjectAltName, 'URI:spiffe://cluster.local/ns/demo/sa/echo')
    t.ok(leaf.verify(new X509Certificate(root.roots).publicKey))
    t.same(splitCertificates(a.chain)[1], FIRST.rootPem.trim(), 'the chain includes the root, as the CA sent it')
    t.match(logged, 'generated new workload certificate\tresourceName=default latency=')
  },
)

t.test('renewed at half of its life with a new key; the proxy is told; roots stay', async t => {
  const { manager, ca, schedule, updates } = setUp(t, { SECRET_TTL: '2h', SECRET_GRACE_PERIOD_RATIO_JITTER: '0' })
  const before = (await manager.get('default')) as KeySecret
  t.ok(Math.abs((schedule.next as number) - HOUR) < 2000, `after an hour, not ${schedule.next}`)
  schedule.advance((schedule.next as number) - 1)
  t.equal(ca.calls, 1, 'not before')
  schedule.advance(1)
  await until(() => updates.length > 0)
  t.same(updates, ['default'])
  const after = (await manager.get('default')) as KeySecret
  t.not(after.key, before.key, 'a new key each time')
  t.equal(ca.calls, 2)
})

t.test('a CA that is down at renewal takes nothing away: served on, asked again with back-off, recovers', async t => {
  const { manager, ca, schedule, updates, registry } = setUp(t, { SECRET_TTL: '2h' })
  const before = await manager.get('default')
  ca.failure = new Error('create certificate: rpc error: code = Unavailable desc = down')
  schedule.advance(schedule.next as number)
  const waits: number[] = []
  for (let attempt = 2; attempt < 16; attempt++) {
    await until(() => ca.calls === attempt && schedule.next !== undefined && schedule.next <= 90_000)
    waits.push(schedule.next as number)
    t.same(await manager.get('default'), before, 'still served')
    schedule.advance(schedule.next as number)
  }
  t.ok(waits[0]! >= 250 && waits[0]! <= 750, `first ${waits[0]}`)
  t.ok(waits.at(-1)! >= 30_000 && waits.at(-1)! <= 90_000, `last ${waits.at(-1)}`)
  t.match(logged, 'failed to renew certificate: create certificate: rpc error: code = Unavailable desc = down')
  t.same(updates, [])
  await until(() => ca.calls === 16 && schedule.next! <= 90_000)
  ca.failure = null
  schedule.advance(schedule.next as number)
  await until(() => updates.includes('default'))
  t.notSame(await manager.get('default'), before)
  t.match(await registry.metrics(), 'istio_agent_num_failed_outgoing_requests{request_type="csr"} 15')
})

t.test('a certificate that has expired is not served', async t => {
  const { manager, ca, schedule } = setUp(t, { SECRET_TTL: '2h' })
  await manager.get('default')
  ca.failure = new Error('down')
  schedule.now += 3 * HOUR
  await t.rejects(manager.get('default'), /failed to generate workload certificate: down/)
})

t.test('a new root of the CA is pushed before the certificate it signed', async t => {
  const { manager, ca, schedule, updates } = setUp(t)
  await manager.get('ROOTCA')
  ca.authority = SECOND
  schedule.advance(schedule.next as number)
  await until(() => updates.length > 1)
  t.same(updates, ['ROOTCA', 'default'])
  t.match(((await manager.get('ROOTCA')) as RootSecret).roots, SECOND.rootPem.trim())
  t.match(logged, 'Root cert has changed, start rotating root cert')
})

t.test(
  'PCDS: roots are added, each once and sorted; the certificate is signed anew; the same again does nothing',
  async t => {
    const { manager, ca, updates } = setUp(t)
    await manager.get('default')
    manager.updateTrustBundle([SECOND.rootPem, FIRST.rootPem, SECOND.rootPem])
    t.same(updates, ['ROOTCA'])
    await until(() => updates.length > 1)
    t.same(updates, ['ROOTCA', 'default'])
    t.equal(ca.calls, 2)
    const roots = ((await manager.get('ROOTCA')) as RootSecret).roots
    t.equal(roots, [FIRST.rootPem.trim(), SECOND.rootPem.trim()].sort().join('\n'))
    manager.updateTrustBundle([FIRST.rootPem, SECOND.rootPem])
    t.equal(updates.length, 2)
    t.equal(mergeRoots([]), '')
  },
)

t.test('warming goes on until the CA is there, and writes OUTPUT_CERTS with every renewal', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'remora-output-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const { manager, ca, schedule, updates } = setUp(t, { OUTPUT_CERTS: folder })
  ca.failure = new Error('not yet')
  manager.warm()
  await until(() => schedule.next !== undefined)
  t.match(logged, 'failed to warm certificate: not yet')
  ca.failure = null
  schedule.advance(schedule.next as number)
  await until(() => existsSync(join(folder, 'root-cert.pem')))
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8')
  const before = read('key.pem')
  t.equal(statSync(join(folder, 'key.pem')).mode & 0o777, 0o600)
  t.ok(new X509Certificate(read('cert-chain.pem')).verify(new X509Certificate(read('root-cert.pem')).publicKey))
  schedule.advance(schedule.next as number)
  await until(() => updates.length > 0)
  t.not(read('key.pem'), before)
  const secret = (await manager.get('default')) as KeySecret
  t.same([read('key.pem'), read('cert-chain.pem')], [secret.key, secret.chain])
})

t.test('in Kubernetes the files are readable by the other containers of the pod', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'remora-output-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const { manager } = setUp(t, { OUTPUT_CERTS: folder, KUBERNETES_SERVICE_HOST: '10.0.0.1' })
  await manager.get('default')
  t.equal(statSync(join(folder, 'key.pem')).mode & 0o777, 0o644)
})

t.test('mounted files are the identity wherever they are there; the CA is not asked', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'remora-mounted-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  mkdirSync(folder, { recursive: true })
  const files = {
    key: join(folder, 'key.pem'),
    chain: join(folder, 'cert-chain.pem'),
    root: join(folder, 'root-cert.pem'),
  }
  const own = FIRST.identity({ uris: ['spiffe://x/ns/y/sa/z'], ttlMs: HOUR })
  writeFileSync(files.key, own.key)
  writeFileSync(files.chain, own.chain)
  // One certificate of the bundle cannot be read.
  writeFileSync(files.root, `${FIRST.rootPem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`)
  const { manager, ca } = setUp(t, {}, { files })
  t.same(await manager.get('default'), { kind: 'key', ...own })
  t.same(await manager.get('ROOTCA'), { kind: 'root', roots: FIRST.rootPem.trim() })
  t.same(await manager.get(`file-cert:${files.chain}~${files.key}`), { kind: 'key', ...own })
  t.same(await manager.get(`file-root:${files.root}`), { kind: 'root', roots: FIRST.rootPem })
  t.equal(ca.calls, 0)
  t.match(logged, 'failed to parse some certs from file')
  t.match(logged, 'read certificate from file\tresource=default')
})

t.test('what the agent writes to /etc/certs itself is not read back', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'remora-mounted-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const files = {
    key: join(folder, 'key.pem'),
    chain: join(folder, 'cert-chain.pem'),
    root: join(folder, 'root-cert.pem'),
  }
  const { manager, ca, schedule } = setUp(t, { OUTPUT_CERTS: folder }, { files })
  await manager.get('default')
  t.ok(existsSync(files.root))
  schedule.advance(schedule.next as number)
  await until(() => ca.calls === 2)
  const secret = (await manager.get('default')) as KeySecret
  await until(() => readFileSync(files.key, 'utf8') === secret.key)
})

t.test('without a CA and without files there is no certificate, and the reason is Istio’s', async t => {
  const schedule = new ManualSchedule()
  const config = effectiveProxyConfig({
    mesh: undefined,
    env: undefined,
    annotation: undefined,
    serviceCluster: 'x',
    concurrency: 1,
    cpuLimit: 0,
  })
  const manager = new SecretManager({
    options: identityOptions({}, config, () => false),
    ca: null,
    metrics: new IdentityMetrics(new Registry()),
    schedule,
  })
  t.teardown(() => manager.close())
  await t.rejects(manager.get('default'), /attempted to fetch secret, but ca client is nil/)
})

t.test('renewal: share of the life that is left, between at once and never too soon', t => {
  t.equal(renewalDelay(0, 24 * HOUR, 0.5, 0), 12 * HOUR)
  t.equal(renewalDelay(0, 24 * HOUR, 0.25, 0), 18 * HOUR)
  t.equal(renewalDelay(0, 24 * HOUR, 7, 0), 1000, 'a ratio over 1 is 1, and a CA is not asked in a loop')
  t.equal(renewalDelay(0, 24 * HOUR, -1, 0), 24 * HOUR)
  t.equal(renewalDelay(0, HOUR, 0.5, 2 * HOUR), 1000)
  t.end()
})
