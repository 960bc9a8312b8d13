import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:https'
import { join } from 'node:path'
import { status } from '@grpc/grpc-js'
import t from 'tap'
import { configureLog } from '../../../../src/agent/log.ts'
import { CertificateAuthority } from '../../../harness/toy-ca.ts'
import { CaServer } from '../../../harness/toy-ca-server.ts'
import { until } from '../../../harness/until.ts'
import { type Answer, ask, realEnvoy } from '../running-agent.ts'
import { configure, makeMesh, type Pod, works } from './mtls-pods.ts'

configureLog({ write: () => {} })

const authority = new CertificateAuthority()
const ISTIOD = ['istiod.istio-system.svc']
/** One request; resolves to peer, status and local port: the same port is the same connection. */
function overTls(port: number, agent: Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, agent }, incoming => {
      const { localPort } = incoming.socket
      incoming.resume().on('end', () => resolve(`${incoming.headers['x-peer']} ${incoming.statusCode} ${localPort}`))
    })
    outgoing.on('error', reject).end()
  })
}

const TOKENS: Readonly<Record<string, string>> = { 'token-server': 'server', 'token-client': 'client' }

/** What the kubelet and the injector give a pod. */
function mount(pod: Pod, account: string): Record<string, string> {
  pod.write('var/run/secrets/istio/root-cert.pem', authority.rootPem)
  pod.write('var/run/secrets/tokens/istio-token', `token-${account}\n`)
  return {
    SERVICE_ACCOUNT: account,
    ECC_SIGNATURE_ALGORITHM: 'ECDSA',
    ISTIO_META_CLUSTER_ID: 'Kubernetes',
    // After three of the twenty seconds of the first test: a busy machine has the rest.
    SECRET_GRACE_PERIOD_RATIO: '0.85',
  }
}

t.test('a request by mTLS between two agents with certificates of the CA; rotation under load, none fails', async t => {
  const ca = new CaServer({
    authority,
    authenticate: ({ token }) => {
      const account = TOKENS[token]
      return account === undefined ? undefined : `spiffe://cluster.local/ns/demo/sa/${account}`
    },
    ttlMs: 20_000,
  })
  const port = await ca.listen('127.0.0.1:0', ISTIOD)
  t.teardown(() => ca.close())
  const mesh = makeMesh(t)
  const { server, client } = mesh
  const output = server.write('output/x', '').slice(0, -2)
  const CA_ADDR = `localhost:${port}`
  server.start({ ...mount(server, 'server'), CA_ADDR, OUTPUT_CERTS: output })
  client.start({ ...mount(client, 'client'), CA_ADDR })
  await configure(mesh)
  const first = await works(mesh)
  t.match(first, { body: 'hello', headers: { 'x-peer': 'spiffe://cluster.local/ns/demo/sa/client' } })
  await server.agent.says(/\tinfo\tcache\tgenerated new workload certificate\tresourceName=default latency=/)
  await server.agent.says(`Using CA ${CA_ADDR} cert with certs: ./var/run/secrets/istio/root-cert.pem`)
  t.match(ca.requests[0], {
    clusterId: 'Kubernetes',
    uris: [/spiffe:\/\/cluster.local\/ns\/demo\/sa\/(server|client)/],
  })
  const keyBefore = readFileSync(join(output, 'key.pem'), 'utf8')

  // A connection from before the first renewal.
  const own = authority.identity({ uris: ['spiffe://cluster.local/ns/demo/sa/old'], ttlMs: 3_600_000 })
  const old = new Agent({ keepAlive: true, maxSockets: 1, cert: own.chain, key: own.key, rejectUnauthorized: false })
  t.teardown(() => old.destroy())
  const overOld = async (): Promise<string> => await overTls(server.agent.admin + 4, old)
  const portBefore = await overOld()

  // Two renewals of each, with requests all the time.
  const serials = new Set<unknown>()
  const failed: Answer[] = []
  let sent = 0
  const enough = ca.requests.length + 4
  await Promise.all(
    [0, 1].map(async () => {
      while ((ca.requests.length < enough || serials.size < 2) && sent < 100_000) {
        const answer = await mesh.request()
        sent++
        if (answer.status !== 200) failed.push(answer)
        serials.add(answer.headers['x-serial'])
      }
    }),
  )
  t.same(failed, [], `of ${sent}`)
  t.ok(serials.size >= 2, `${serials.size} certificates of the client were seen in ${sent} requests`)
  t.equal(await overOld(), portBefore, 'connections live on')
  t.equal(new Set(ca.requests.map(request => request.publicKey)).size, ca.requests.length, 'a new key each time')
  await until(() => readFileSync(join(output, 'key.pem'), 'utf8') !== keyBefore, 'OUTPUT_CERTS follow')
  t.match(
    (await ask(server.agent.status, '/metrics')).body,
    /istio_agent_cert_expiry_seconds{resource_name="default"} \d/,
  )
})

const envoy = realEnvoy()

t.test('the real Envoy takes its certificate from this agent', { skip: envoy === undefined }, async t => {
  const ca = new CaServer({ authority })
  const port = await ca.listen('127.0.0.1:0', ISTIOD)
  t.teardown(() => ca.close())
  const mesh = makeMesh(t)
  const { server, client } = mesh
  const CA_ADDR = `localhost:${port}`
  server.start({ ...mount(server, 'server'), CA_ADDR }, envoy)
  client.start({ ...mount(client, 'client'), CA_ADDR, ECC_SIGNATURE_ALGORITHM: '' }, envoy)
  await configure(mesh)
  t.match((await works(mesh)).headers, { 'x-peer': 'spiffe://cluster.local/ns/demo/sa/client' })
  t.same(ca.requests.map(request => request.keyType).sort(), ['ec', 'rsa'])
})

t.test(
  'a CA that is down: requests wait, the agent tries with back-off, and all recovers when it is there',
  async t => {
    const ca = new CaServer({ authority })
    const port = await ca.listen('127.0.0.1:0', ISTIOD)
    t.teardown(() => ca.close())
    ca.failure = { code: status.FAILED_PRECONDITION, details: 'not ready' }
    const mesh = makeMesh(t)
    for (const [pod, account] of [
      [mesh.server, 'server'],
      [mesh.client, 'client'],
    ] as const) {
      pod.start({ ...mount(pod, account), CA_ADDR: `localhost:${port}` })
    }
    await configure(mesh)
    await mesh.server.agent.says('failed to warm certificate: create certificate: rpc error: code = FailedPrecondition')
    await until(async () => ca.requests.length >= 4)
    t.not((await mesh.request()).status, 200)
    ca.failure = null
    t.match((await works(mesh)).headers, { 'x-peer': 'spiffe://cluster.local/ns/demo/sa/client' })
  },
)
