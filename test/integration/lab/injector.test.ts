import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Cluster } from '../../../src/lab/inject/cluster.ts'
import type { InjectionSettings } from '../../../src/lab/inject/injection.ts'
import { type InjectorOptions, startInjector } from '../../../src/lab/inject/injector-server.ts'
import { parseMeshConfig } from '../../../src/lab/inject/mesh-config.ts'
import { makeServingCertificate } from '../../../src/lab/inject/serving-certificate.ts'
import { parseValues } from '../../../src/lab/inject/values.ts'

const folder = mkdtempSync(join(tmpdir(), 'remora-injector-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const { ca, cert, key } = makeServingCertificate(['injector.test', 'localhost'])
const at = (name: string): string => join(folder, name)
writeFileSync(at('cert'), cert)
writeFileSync(at('key'), key)
writeFileSync(at('ca.crt'), ca)
writeFileSync(at('token'), 'secret\n')

const settings: InjectionSettings = {
  values: parseValues(''),
  mesh: parseMeshConfig(''),
  revision: '',
  nativeSidecar: false,
  compliancePolicy: '',
}

function options(over: Partial<InjectorOptions> = {}): InjectorOptions {
  return {
    host: '127.0.0.1',
    port: 0,
    certFile: at('cert'),
    keyFile: at('key'),
    settings: () => settings,
    autoNative: false,
    openshift: false,
    cluster: undefined,
    log: () => {},
    ...over,
  }
}

function call(port: number, method: string, path: string, body = '', type = 'application/json') {
  return new Promise<{ status: number; text: string }>((resolve, reject) => {
    const headers = { 'content-type': type, 'content-length': Buffer.byteLength(body) }
    const target = { host: '127.0.0.1', port, servername: 'injector.test', ca, method, path, headers, agent: false }
    const sent = request({ ...target, agent: false as const }, response => {
      let text = ''
      response.on('data', chunk => {
        text += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode!, text }))
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

const review = (spec: object = {}): string =>
  JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: { uid: 'u', namespace: 'shop', object: { spec: { containers: [{ name: 'a', image: 'b' }], ...spec } } },
  })

function patchOf(text: string): string {
  return Buffer.from(JSON.parse(text).response.patch, 'base64').toString()
}

t.test('reviews are answered over TLS; everything else has its status', async t => {
  const injector = await startInjector(options())
  t.teardown(() => injector.close())
  const good = await call(injector.port, 'POST', '/inject', review())
  t.equal(good.status, 200)
  t.match(patchOf(good.text), /istio-proxy/)
  t.equal((await call(injector.port, 'POST', '/inject/cluster/c1', review())).status, 200)
  t.equal((await call(injector.port, 'GET', '/healthz/ready')).status, 200)
  t.equal((await call(injector.port, 'GET', '/inject')).status, 405)
  t.equal((await call(injector.port, 'POST', '/other', review())).status, 404)
  t.equal((await call(injector.port, 'POST', '/inject', review(), 'text/plain')).status, 415)
  t.equal((await call(injector.port, 'POST', '/inject')).status, 400)
  t.equal((await call(injector.port, 'POST', '/inject', '{}')).status, 400)
  t.equal((await call(injector.port, 'POST', '/inject', 'x'.repeat(6 * 1024 * 1024 + 1))).status, 413)
})

/** An API server whose nodes have these kubelets. */
async function apiServer(kubelets: readonly string[], asked: string[]) {
  const node = (version: string) => ({ metadata: { name: version }, status: { nodeInfo: { kubeletVersion: version } } })
  const server = createServer({ cert, key }, (message, response) => {
    asked.push(`${message.url} ${message.headers.authorization}`)
    const url = new URL(message.url!, 'https://api')
    const page = Number(url.searchParams.get('continue') ?? 0)
    const one = /^\/api\/v1\/nodes\/(.+)$/.exec(url.pathname)
    if (one) response.end(JSON.stringify(node(one[1]!)))
    else if (url.pathname === '/api/v1/namespaces/shop')
      response.end(JSON.stringify({ metadata: { annotations: { 'openshift.io/sa.scc.uid-range': '5000/10' } } }))
    else {
      const next = page + 1 < kubelets.length ? String(page + 1) : ''
      response.end(JSON.stringify({ metadata: { continue: next }, items: kubelets.slice(page, page + 1).map(node) }))
    }
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const stop = () => new Promise<void>(resolve => void server.close(() => resolve()).closeAllConnections())
  return { cluster: new Cluster({ host: '127.0.0.1', port, servername: 'injector.test' }, folder), stop }
}

t.test('native sidecars are used where every kubelet, or that of the pod, is at least 1.33', async t => {
  for (const [kubelets, native] of [
    [['v1.33.0', 'v1.34.1'], true],
    [['v1.33.0', 'v1.28.0'], false],
  ] as const) {
    const asked: string[] = []
    const api = await apiServer(kubelets, asked)
    const injector = await startInjector(options({ autoNative: true, cluster: api.cluster }))
    const answer = await call(injector.port, 'POST', '/inject', review())
    t.equal(/"restartPolicy":"Always"/.test(patchOf(answer.text)), native, kubelets.join())
    t.equal(asked[0], '/api/v1/nodes?limit=500&continue= Bearer secret')
    await call(injector.port, 'POST', '/inject', review())
    t.equal(asked.length, 2, 'two pages, asked once')
    const bound = await call(injector.port, 'POST', '/inject', review({ nodeName: 'v1.40.0' }))
    t.match(patchOf(bound.text), /"restartPolicy":"Always"/, 'a pod that is bound asks for its own node')
    await injector.close()
    await api.stop()
  }
})

t.test('on OpenShift the ids come from the namespace', async t => {
  const api = await apiServer([], [])
  const injector = await startInjector(options({ openshift: true, cluster: api.cluster }))
  const answer = await call(injector.port, 'POST', '/inject', review())
  t.match(patchOf(answer.text), /"runAsUser":5009/)
  await injector.close()
  await api.stop()
})

t.test('an API server that is away costs native sidecars, not pods', async t => {
  const api = await apiServer([], [])
  await api.stop()
  const lines: string[] = []
  const log = (line: string): void => void lines.push(line)
  const injector = await startInjector(options({ autoNative: true, cluster: api.cluster, log }))
  t.equal((await call(injector.port, 'POST', '/inject', review())).status, 200)
  t.match(lines.join('\n'), /nodes cannot be asked/)
  await injector.close()
})
