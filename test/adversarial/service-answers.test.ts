import { createServer as createHttp2, type ServerHttp2Stream } from 'node:http2'
import { type AddressInfo, createServer, type Server } from 'node:net'
import t, { type Test } from 'tap'
import { encodeMessage } from '../../src/config/binary.ts'
import { RunningProxy } from '../integration/proxy/running-proxy.ts'
import { exchange } from './exchange.ts'
import { RecordingUpstream } from './recording-upstream.ts'

/**
 * What a hostile or careless authorization or rate limit service answers must neither split the request to the upstream nor the
 * response to the client. Requests are as the real Envoy has them (parity, unsendable-* of ext-authz-grpc and ratelimit); it sends
 * such responses.
 */
const TYPE = 'type.googleapis.com/envoy.extensions.filters.http'
const AUTHZ = { '@type': `${TYPE}.ext_authz.v3.ExtAuthz`, transport_api_version: 'V3' }
const HEADERS: readonly (readonly [name: string, value: string])[] = [
  ['x-a', 'a\r\nx-split: b'],
  ['x-a', 'a\nx-split: b'],
  ['x-a', 'a\r\n\r\nHTTP/1.1 200 OK\r\nx-split: b\r\n\r\n'],
  ['x-a', 'a\rb'],
  ['x-a', 'a\0b'],
  ['x-a: b\r\nx-split', 'c'],
  ['x a', 'b'],
  ['', 'b'],
  [':status', '299'],
]

function listening(server: Server): Promise<number> {
  return new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)))
}

async function behind(
  t: Test,
  filter: object,
  port: number,
  http2: boolean,
): Promise<[RunningProxy, RecordingUpstream]> {
  const upstream = await RecordingUpstream.start()
  const options = {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: { http2_protocol_options: {} },
    },
  }
  const address = (value: number): object => ({ socket_address: { address: '127.0.0.1', port_value: value } })
  const cluster = (name: string, value: number, more = {}): object => ({
    name,
    type: 'STATIC',
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: address(value) } }] }] },
    ...more,
  })
  const rate_limits = [{ actions: [{ generic_key: { descriptor_value: 'all' } }] }]
  const routes = [{ match: { prefix: '/' }, route: { cluster: 'upstream', rate_limits } }]
  const manager = {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: 'http',
    route_config: { name: 'r', virtual_hosts: [{ name: 'all', domains: ['*'], routes }] },
    http_filters: [
      { name: 'asking', typed_config: filter },
      {
        name: 'router',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
      },
    ],
  }
  const proxy = await RunningProxy.start({
    upstream: 0,
    bootstrap: (listen, admin) =>
      JSON.stringify({
        admin: { address: address(admin) },
        static_resources: {
          listeners: [
            {
              name: 'l',
              address: address(listen),
              filter_chains: [{ filters: [{ name: 'hcm', typed_config: manager }] }],
            },
          ],
          clusters: [
            cluster('upstream', upstream.port),
            cluster('service', port, http2 ? { typed_extension_protocol_options: options } : {}),
          ],
        },
      }),
  })
  t.teardown(async () => {
    await proxy.stop()
    await upstream.stop()
  })
  return [proxy, upstream]
}

async function ask(proxy: RunningProxy, path: string): Promise<string> {
  const seen = await exchange(proxy.port, `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`, 20_000)
  return seen.text
}

/** One response, without what the service tried to put into it. */
function whole(t: Test, text: string, status: RegExp, what: string): void {
  t.match(text, status, what)
  t.equal(text.split('HTTP/1.1 ').length, 2, `${what}: one response`)
  t.notMatch(text, /^x-split/m, what)
  t.notMatch(text.split('\r\n\r\n')[0], /^(x a)?:/m, what)
}

/** A request to which the service adds that header is not sent, unless the header is left out. */
async function refused(
  t: Test,
  key: string,
  what: string,
  proxy: RunningProxy,
  upstream: RecordingUpstream,
): Promise<void> {
  upstream.requests.length = 0
  const sent = await ask(proxy, '/request')
  const harmless = key === '' || key.startsWith(':')
  whole(
    t,
    sent,
    harmless ? /^HTTP\/1\.1 200 / : /^HTTP\/1\.1 503 [\s\S]*\r\n\r\ninvalid header (name|value for): /,
    `${what} sent`,
  )
  t.same(upstream.requests, harmless ? ['GET /request'] : [], `${what}: what the upstream gets`)
}

/** A gRPC service whose answers are messages of that type. Resolves to its port. */
function serving(t: Test, type: string, answer: () => object): Promise<number> {
  const server = createHttp2()
  server.on('stream', (stream: ServerHttp2Stream) => {
    const body = Buffer.from(encodeMessage(type, answer()))
    const head = Buffer.alloc(5)
    head.writeUInt32BE(body.length, 1)
    stream.on('error', () => {})
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
    stream.end(Buffer.concat([head, body]))
  })
  t.teardown(() => server.close())
  return listening(server)
}

t.test('a gRPC authorization service: request, response, refusal, error', async t => {
  let answer: object = {}
  const port = await serving(t, 'envoy.service.auth.v3.CheckResponse', () => answer)
  const grpc = { ...AUTHZ, grpc_service: { envoy_grpc: { cluster_name: 'service' }, timeout: '20s' } }
  const [proxy, upstream] = await behind(t, grpc, port, true)
  for (const [key, value] of HEADERS) {
    const what = JSON.stringify([key, value])
    const headers = [{ header: { key, value } }]
    answer = { status: { code: 0 }, ok_response: { headers } }
    await refused(t, key, what, proxy, upstream)
    answer = { status: { code: 0 }, ok_response: { response_headers_to_add: headers } }
    whole(t, await ask(proxy, '/response'), /^HTTP\/1\.1 200 /, `${what} added`)
    answer = { status: { code: 7 }, denied_response: { headers, body: 'no' } }
    whole(t, await ask(proxy, '/denied'), /^HTTP\/1\.1 403 [\s\S]*\r\n\r\nno$/, `${what} in a refusal`)
    answer = { status: { code: 7 }, error_response: { headers, body: 'broken' } }
    whole(t, await ask(proxy, '/error'), /^HTTP\/1\.1 \d{3} /, `${what} in an error`)
  }
  const body = 'HTTP/1.1 299 OK\r\n\r\n'
  for (const [code, status] of [
    [100, 403],
    [101, 403],
    [103, 403],
    [204, 204],
    [304, 304],
    [42, 403],
    [1000, 403],
  ] as const) {
    answer = { status: { code: 7 }, denied_response: { status: { code }, body } }
    const text = await ask(proxy, '/status')
    t.equal(text.slice(0, 13), `HTTP/1.1 ${status} `, `${code} of a refusal`)
    t.equal(
      text.slice(text.indexOf('\r\n\r\n') + 4),
      status === 403 ? body : '',
      `${code}: its body is none, or a body`,
    )
  }
  t.same(upstream.leftovers, [])
})

t.test('a rate limit service: request, response, refusal', async t => {
  let answer: object = {}
  const port = await serving(t, 'envoy.service.ratelimit.v3.RateLimitResponse', () => answer)
  const filter = {
    '@type': `${TYPE}.ratelimit.v3.RateLimit`,
    domain: 'd',
    timeout: '20s',
    rate_limit_service: { transport_api_version: 'V3', grpc_service: { envoy_grpc: { cluster_name: 'service' } } },
  }
  const [proxy, upstream] = await behind(t, filter, port, true)
  for (const [key, value] of HEADERS) {
    const what = JSON.stringify([key, value])
    const headers = [{ key, value }]
    answer = { overall_code: 'OK', request_headers_to_add: headers }
    await refused(t, key, what, proxy, upstream)
    answer = { overall_code: 'OK', response_headers_to_add: headers }
    whole(t, await ask(proxy, '/response'), /^HTTP\/1\.1 200 /, `${what} added`)
    answer = { overall_code: 'OVER_LIMIT', response_headers_to_add: headers }
    whole(t, await ask(proxy, '/over'), /^HTTP\/1\.1 429 /, `${what} in a refusal`)
  }
  answer = { overall_code: 'OK', response_headers_to_add: Array.from({ length: 500_000 }, () => ({ key: '' })) }
  whole(t, await ask(proxy, '/many'), /^HTTP\/1\.1 200 /, 'more than a stack takes')
  t.same(upstream.leftovers, [])
})

t.test(
  'an HTTP authorization service: its codec takes the answer apart, and nothing of it is more than a header',
  async t => {
    let answer = ''
    const server = createServer(socket => socket.on('error', () => {}).once('data', () => socket.end(answer, 'latin1')))
    const port = await listening(server)
    t.teardown(() => server.close())
    const every = { patterns: [{ safe_regex: { regex: '.*' } }] }
    const http = {
      ...AUTHZ,
      http_service: {
        server_uri: { uri: 'http://auth.test', cluster: 'service', timeout: '20s' },
        authorization_response: {
          allowed_upstream_headers: every,
          allowed_client_headers: every,
          allowed_client_headers_on_success: every,
        },
      },
    }
    const [proxy, upstream] = await behind(t, http, port, false)
    for (const line of [
      'x-a: a\rb',
      'x-a: a\0b',
      'x a: b',
      ': b',
      ':status: 299',
      'x-a: a\r x-split: b',
      'x-a: a\r\n\tx-split: b',
    ]) {
      for (const status of ['200 OK', '403 Forbidden']) {
        const what = JSON.stringify([line, status])
        answer = `HTTP/1.1 ${status}\r\n${line}\r\ncontent-length: 0\r\n\r\n`
        upstream.requests.length = 0
        const text = await ask(proxy, '/http')
        whole(t, text, /^HTTP\/1\.1 (200|403) /, what)
        t.notMatch(text.split('\r\n\r\n')[0], /\r(?!\n)|\0/, what)
        t.ok(upstream.requests.length <= 1, `${what}: at most one request`)
      }
    }
    t.same(upstream.leftovers, [])
  },
)
