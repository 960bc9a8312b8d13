import { createServer as createHttpServer, type IncomingHttpHeaders, request } from 'node:http'
import { connect, createServer, type Server } from 'node:net'
import t from 'tap'
import { allocatePort } from '../../harness/ports.ts'
import { settled, until } from '../../harness/until.ts'
import { RunningProxy } from '../proxy/running-proxy.ts'
import { clientSidecar, serverSidecar } from './two-sidecars.ts'

interface Mesh {
  readonly client: RunningProxy
  readonly server: RunningProxy
  readonly tcp: number
  readonly seen: IncomingHttpHeaders[]
  stop(): Promise<void>
}

const listen = (server: Server, port: number) => new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))

async function mesh(): Promise<Mesh> {
  const [http, echo, tcp] = [await allocatePort(), await allocatePort(), await allocatePort()]
  const seen: IncomingHttpHeaders[] = []
  const app = createHttpServer((incoming, out) => {
    seen.push(incoming.headers)
    out.end('hello')
  })
  const tcpApp = createServer(socket => socket.on('error', () => socket.destroy()).pipe(socket))
  await listen(app, http)
  await listen(tcpApp, echo)
  const server = await RunningProxy.start({ upstream: 0, bootstrap: (p, a) => serverSidecar(p, a, http, echo) })
  const client = await RunningProxy.start({ upstream: 0, bootstrap: (p, a) => clientSidecar(p, a, tcp, server.port) })
  return {
    client,
    server,
    tcp,
    seen,
    async stop() {
      await client.stop()
      await server.stop()
      app.close()
      tcpApp.close()
    },
  }
}

function get(port: number): Promise<{ status: number; headers: IncomingHttpHeaders; body: string }> {
  return new Promise((resolve, reject) => {
    const out = request({ port, host: '127.0.0.1', headers: { host: 'web.test' }, agent: false }, incoming => {
      let body = ''
      incoming.on('data', chunk => (body += chunk))
      incoming.on('end', () => resolve({ status: incoming.statusCode!, headers: incoming.headers, body }))
    })
    out.on('error', reject)
    out.end()
  })
}

/** Labels and value of the one sample of a metric, as soon as it is not 0. */
async function metric(proxy: RunningProxy, name: string): Promise<Record<string, string>> {
  const read = async (): Promise<string | undefined> => {
    const text = await (await fetch(`http://127.0.0.1:${proxy.admin}/stats/prometheus`)).text()
    return text.split('\n').find(l => l.startsWith(`${name}{`))
  }
  const line = await settled(read, found => found !== undefined && !found.endsWith(' 0'))
  const labels = [...(line ?? '').matchAll(/([a-z_]+)="([^"]*)"/g)].map(m => [m[1]!, m[2]!] as const)
  return { ...Object.fromEntries(labels), value: line?.slice(line.lastIndexOf(' ') + 1) ?? '' }
}

const SPIFFE = 'spiffe://cluster.local/ns/lab/sa'
const SOURCE = {
  source_workload: 'sleep',
  source_canonical_service: 'sleep',
  source_canonical_revision: 'v1',
  source_app: 'sleep',
  source_version: 'v1',
  source_cluster: 'Kubernetes',
  source_principal: `${SPIFFE}/client`,
}
const DESTINATION = {
  destination_workload: 'web',
  destination_canonical_service: 'web',
  destination_canonical_revision: 'v1',
  destination_app: 'web',
  destination_version: 'v1',
  destination_cluster: 'Kubernetes',
  destination_principal: `${SPIFFE}/web`,
}

t.test('a request between two sidecars is counted on both sides with both workloads', async t => {
  const m = await mesh()
  t.teardown(() => m.stop())
  const answer = await get(m.client.port)
  t.match(answer, { status: 200, body: 'hello' })
  t.notOk(
    Object.keys(answer.headers).some(name => name.startsWith('x-envoy-peer')),
    'the client hears nothing of it',
  )
  t.notOk(
    Object.keys(m.seen[0]!).some(name => name.startsWith('x-envoy-peer')),
    'nor does the application',
  )
  t.match(m.seen[0]!['x-forwarded-client-cert'], `URI=${SPIFFE}/client`, 'XFCC of the mutual TLS')

  const source = await metric(m.client, 'istio_requests_total')
  t.match(source, {
    ...SOURCE,
    ...DESTINATION,
    reporter: 'source',
    source_workload_namespace: 'sleep-ns',
    destination_workload_namespace: 'lab',
    destination_service: 'web.web-ns.svc.cluster.local',
    destination_service_name: 'web',
    destination_service_namespace: 'web-ns',
    request_protocol: 'http',
    response_code: '200',
    grpc_response_status: '',
    response_flags: '-',
    connection_security_policy: 'unknown',
    request_host: 'web.test',
    value: '1',
  })
  const destination = await metric(m.server, 'istio_requests_total')
  t.match(destination, {
    ...SOURCE,
    ...DESTINATION,
    reporter: 'destination',
    source_workload_namespace: 'lab',
    destination_workload_namespace: 'web-ns',
    destination_service: 'web',
    destination_service_name: 'web',
    destination_service_namespace: 'web-ns',
    connection_security_policy: 'mutual_tls',
    value: '1',
  })
  t.match(await metric(m.server, 'istio_request_duration_milliseconds_count'), {
    reporter: 'destination',
    value: '1',
  })
  t.match(await metric(m.server, 'istio_request_bytes_sum'), { reporter: 'destination' })
  t.match(await metric(m.client, 'istio_build'), { component: 'proxy', tag: '1.30.0', value: '1' })
  const plain = await (await fetch(`http://127.0.0.1:${m.client.admin}/stats?filter=istio_requests_total`)).text()
  t.match(
    plain,
    /^istiocustom\.istio_requests_total\.reporter\.source\.source_workload\.sleep\..*\.request_host\.web\.test: 1$/m,
  )
})

t.test('TCP between two sidecars: metadata goes ahead of the stream, bytes are counted while it lives', async t => {
  const m = await mesh()
  t.teardown(() => m.stop())
  const socket = connect(m.tcp, '127.0.0.1')
  let text = ''
  socket.on('data', chunk => (text += chunk.toString()))
  socket.write('ping')
  await until(() => text.length >= 4)
  t.equal(text, 'ping')
  const opened = await metric(m.client, 'istio_tcp_connections_opened_total')
  t.match(opened, {
    ...SOURCE,
    ...DESTINATION,
    reporter: 'source',
    request_protocol: 'tcp',
    destination_service_name: 'web',
    value: '1',
  })
  socket.end()
  await new Promise<void>(resolve => socket.once('close', () => resolve()))
  t.match(await metric(m.client, 'istio_tcp_connections_closed_total'), { value: '1' })
  t.match(await metric(m.client, 'istio_tcp_sent_bytes_total'), { value: '4' })
  t.match(await metric(m.client, 'istio_tcp_received_bytes_total'), { value: '4' })
  t.match(await metric(m.server, 'istio_tcp_connections_closed_total'), {
    ...SOURCE,
    ...DESTINATION,
    reporter: 'destination',
    connection_security_policy: 'mutual_tls',
    value: '1',
  })
  await until(async () => (await m.server.stat('metadata_exchange.alpn_protocol_found')) === 1)
  await until(async () => (await m.client.stat('metadata_exchange.metadata_added')) === 1)
})
