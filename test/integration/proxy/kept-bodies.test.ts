import { createHash, randomBytes } from 'node:crypto'
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { until } from '../../harness/until.ts'
import { RunningProxy } from './running-proxy.ts'

const digest = (body: Buffer): string => createHash('sha256').update(body).digest('hex')
/** Of chunks that share memory, of one page, of several, and of long reads. */
const SIZES = [1000, 12_000, 50_000, 300_000, 900_000]

/** Tells what it was sent, `delay` ms later. The first attempt is refused: `/retry` when all of it has come, `/early` when some has; `/redirect` leads to `/`. */
function serve(seen: Map<string, string>, delay: number): Promise<{ server: Server; port: number }> {
  const refused = new Set<string>()
  const server = createServer((incoming, outgoing) => {
    const id = String(incoming.headers['x-id'])
    const again = refused.has(id)
    refused.add(id)
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      if (incoming.url === '/early' && !again && chunks.length === 1) outgoing.writeHead(503).end()
    })
    incoming.on('error', () => {})
    incoming.on('end', () => {
      if (outgoing.headersSent) return
      if (incoming.url === '/retry' && !again) outgoing.writeHead(503).end()
      else if (incoming.url === '/redirect')
        outgoing.writeHead(307, { location: `http://${incoming.headers.host}/` }).end()
      else {
        const whole = digest(Buffer.concat(chunks))
        seen.set(id, whole)
        setTimeout(() => outgoing.end(whole), delay)
      }
    })
  })
  return new Promise(resolve =>
    server.listen(0, '127.0.0.1', () => resolve({ server, port: (server.address() as AddressInfo).port })),
  )
}

function post(port: number, path: string, id: string, body: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ port, path, method: 'POST', headers: { 'x-id': id } }, response => {
      let text = ''
      response.on('data', chunk => {
        text += chunk
      })
      response.on('end', () => resolve(text))
    })
    outgoing.on('error', reject).end(body)
  })
}

t.test('a body that is sent more than once is the same each time, whatever is under way beside it', async t => {
  // Memory that is used again too early shows as rubbish.
  process.env['REMORA_POISON_CHUNKS'] = '1'
  const answers = new Map<string, string>()
  const mirrored = new Map<string, string>()
  const upstream = await serve(answers, 0)
  const mirror = await serve(mirrored, 20)
  const proxy = await RunningProxy.start({
    upstream: upstream.port,
    bootstrap: (port, admin) => bootstrap(port, admin, upstream.port, mirror.port),
  })
  t.teardown(async () => {
    await proxy.stop()
    for (const { server } of [upstream, mirror]) {
      server.closeAllConnections()
      server.close()
    }
  })
  let id = 0
  for (let round = 0; round < 4; round++) {
    await Promise.all(
      ['/', '/retry', '/early', '/redirect', '/mirror'].flatMap(path =>
        SIZES.map(async size => {
          const body = randomBytes(size)
          const name = String(id++)
          t.equal(await post(proxy.port, path, name, body), digest(body), `${path} ${size}`)
          if (path === '/mirror') await until(() => mirrored.get(name) === digest(body), `${name} is mirrored`)
        }),
      ),
    )
  }
})

const bootstrap = (port: number, admin: number, upstream: number, mirror: number): string => `
admin: {address: {socket_address: {address: 127.0.0.1, port_value: ${admin}}}}
static_resources:
  listeners:
  - name: l
    address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: t
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
          route_config:
            virtual_hosts:
            - name: v
              domains: ["*"]
              routes:
              - match: {path: /mirror}
                route: {cluster: up, request_mirror_policies: [{cluster: mirror}]}
              - match: {path: /redirect}
                route: {cluster: up, internal_redirect_policy: {redirect_response_codes: [307]}}
              - match: {prefix: /}
                route: {cluster: up, retry_policy: {retry_on: "5xx,reset", num_retries: 3}}
  clusters:
  - name: up
    load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${upstream}}}}}]}]}
    circuit_breakers: {thresholds: [{max_retries: 1000}]}
  # One at a time: what is mirrored waits until long after its request is over.
  - name: mirror
    circuit_breakers: {thresholds: [{max_connections: 1, max_pending_requests: 1000}]}
    load_assignment: {cluster_name: mirror, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${mirror}}}}}]}]}
`
