import t from 'tap'
import { HeaderBlock } from '../../../src/codec/header-block.ts'
import type { WorkerServices } from '../../../src/config/services.ts'
import type { HcmConfig } from '../../../src/http/connection-manager-config.ts'
import { RequestSanitizer } from '../../../src/http/sanitize.ts'
import type { Connection } from '../../../src/io/connection.ts'
import type { RouteTable } from '../../../src/routing/route.ts'
import { StreamInfo } from '../../../src/telemetry/stream-info.ts'

const defaults = {
  internalRanges: [],
  useRemoteAddress: false,
  xffNumTrustedHops: 0,
  skipXffAppend: false,
  originalIpDetection: [],
  appendXForwardedPort: false,
  schemeToOverwrite: '',
  addUserAgent: false,
  via: '',
  generateRequestId: true,
  preserveExternalRequestId: false,
  forwardClientCert: 'ALWAYS_FORWARD_ONLY',
} as unknown as HcmConfig

let ids = 0
const services = {
  node: { id: 'node', cluster: 'mesh' },
  random: { next32: () => ++ids },
} as unknown as WorkerServices

interface Options {
  readonly config?: Partial<HcmConfig>
  readonly peer?: string
  readonly upgrade?: boolean
  readonly routes?: RouteTable | null
}

/** Headers `name: value` in, headers out; `client` is the address the request is taken to come from. */
function run(
  lines: readonly string[],
  { config = {}, peer = '192.0.2.7', upgrade = false, routes = null }: Options = {},
) {
  const h = new HeaderBlock()
  h.method = 'GET'
  h.path = '/'
  for (const line of lines) {
    const colon = line.indexOf(': ')
    h.push(line.slice(0, colon), line.slice(colon + 2))
  }
  const address = { ip: peer, port: 1, text: `${peer}:1` }
  const connection = { tls: null, remote: address, local: { ip: '10.0.0.1', port: 8080, text: '' } }
  const info = new StreamInfo()
  const sanitizer = new RequestSanitizer({ ...defaults, ...config }, services, '10.0.0.1')
  const client = sanitizer.apply(h, connection as unknown as Connection, info, upgrade, routes)
  return { h, client, info, names: h.list.filter((_, i) => i % 2 === 0), remote: connection.remote.ip }
}

const loopback = { internalRanges: ['127.0.0.0/8'], useRemoteAddress: true }

t.test('headers that a connection nominates, and those of the connection itself, are not forwarded', async t => {
  const { names } = run(['connection: x-a, close', 'x-a: 1', 'keep-alive: 5', 'upgrade: h2c', 'x-b: 2'])
  t.notOk(names.includes('x-a') || names.includes('connection') || names.includes('upgrade'))
  t.notOk(names.includes('keep-alive'))
  t.ok(names.includes('x-b'))
})

t.test('an upgrade keeps connection and upgrade', async t => {
  const { h } = run(['connection: Upgrade', 'upgrade: websocket'], { upgrade: true })
  t.equal(h.get('connection'), 'Upgrade')
  t.equal(h.get('upgrade'), 'websocket')
})

t.test('te survives as trailers alone', async t => {
  t.equal(run(['te: trailers, gzip']).h.get('te'), 'trailers')
  t.equal(run(['te: gzip']).h.get('te'), undefined)
})

t.test('what steers the router is taken from everybody who is not internal', async t => {
  const lines = [
    'x-envoy-retry-on: 5xx',
    'x-envoy-upstream-rq-timeout-ms: 1',
    'x-envoy-attempt-count: 3',
    'x-envoy-foo: 1',
  ]
  t.same(run(lines).names.slice(0, 2), ['x-envoy-attempt-count', 'x-envoy-foo'])
  const inside = run(lines, { config: loopback, peer: '127.0.0.1' })
  t.equal(inside.h.get('x-envoy-retry-on'), '5xx')
  t.equal(inside.h.get('x-envoy-internal'), 'true')
})

t.test('x-envoy-internal of a client is never believed', async t => {
  t.notOk(run(['x-envoy-internal: true']).h.has('x-envoy-internal'))
})

t.test('only an edge strips what describes the caller', async t => {
  const lines = ['x-envoy-decorator-operation: op', 'x-envoy-downstream-service-cluster: c']
  t.equal(run(lines).h.get('x-envoy-decorator-operation'), 'op')
  const edge = run(lines, { config: { useRemoteAddress: true } })
  t.notOk(edge.h.has('x-envoy-decorator-operation') || edge.h.has('x-envoy-downstream-service-cluster'))
  t.equal(edge.h.get('x-envoy-external-address'), '192.0.2.7')
})

t.test('a request with x-forwarded-for is not internal at an edge, whoever sent it', async t => {
  const { h } = run(['x-forwarded-for: 127.0.0.1'], { config: loopback, peer: '127.0.0.1' })
  t.notOk(h.has('x-envoy-internal'))
})

t.test('use_remote_address appends the peer, or our own address for loopback peers', async t => {
  const config = { useRemoteAddress: true }
  t.equal(run(['x-forwarded-for: 1.1.1.1'], { config }).h.get('x-forwarded-for'), '1.1.1.1,192.0.2.7')
  t.equal(run([], { config, peer: '127.0.0.1' }).h.get('x-forwarded-for'), '10.0.0.1')
  t.notOk(run([], { config: { ...config, skipXffAppend: true } }).h.has('x-forwarded-for'))
})

t.test('trusted hops decide which x-forwarded-for entry is the client, and the connection keeps its peer', async t => {
  const lines = ['x-forwarded-for: 1.1.1.1, 2.2.2.2']
  t.equal(run(lines).client, '2.2.2.2')
  t.equal(run(lines, { config: { xffNumTrustedHops: 1 } }).client, '1.1.1.1')
  t.equal(run(lines, { config: { xffNumTrustedHops: 2 } }).client, '192.0.2.7')
  t.equal(run(lines, { config: { useRemoteAddress: true } }).client, '192.0.2.7')
  t.equal(run(['x-forwarded-for: nonsense']).client, '192.0.2.7')
  t.equal(run(lines).remote, '192.0.2.7')
})

t.test('an original IP detection extension names the client and may append the peer', async t => {
  const lines = ['x-forwarded-for: 1.1.1.1, 2.2.2.2']
  const detect = (trustedHops: number, skipAppend: boolean) => ({
    config: { originalIpDetection: [{ trustedHops, skipAppend }] },
  })
  t.equal(run(lines, detect(1, true)).client, '1.1.1.1')
  t.equal(run(lines, detect(1, true)).h.get('x-forwarded-for'), '1.1.1.1, 2.2.2.2')
  t.equal(run(lines, detect(0, false)).h.get('x-forwarded-for'), '1.1.1.1, 2.2.2.2,192.0.2.7')
  t.equal(run([], detect(0, false)).client, '192.0.2.7')
})

t.test('x-forwarded-proto of an untrusted peer is replaced and becomes the scheme', async t => {
  const lines = ['x-forwarded-proto: https']
  t.equal(run(lines).h.scheme, 'https')
  t.equal(run(lines, { config: { useRemoteAddress: true } }).h.get('x-forwarded-proto'), 'http')
  t.equal(run(['x-forwarded-proto: ftp']).h.scheme, 'http')
  const forced = run(lines, { config: { schemeToOverwrite: 'http' } }).h
  t.equal(forced.scheme, 'http')
  t.equal(forced.get('x-forwarded-proto'), 'http')
})

t.test('an edge makes a new request id unless told to keep the one that came', async t => {
  const lines = ['x-request-id: mine']
  t.equal(run(lines).h.get('x-request-id'), 'mine')
  t.not(run(lines, { config: { useRemoteAddress: true } }).h.get('x-request-id'), 'mine')
  const kept = run(lines, { config: { useRemoteAddress: true, preserveExternalRequestId: true } })
  t.equal(kept.h.get('x-request-id'), 'mine')
  t.notOk(run([], { config: { generateRequestId: false } }).h.has('x-request-id'))
})

t.test('a forced trace is echoed only to internal callers', async t => {
  const lines = ['x-envoy-force-trace: true']
  t.equal(run(lines, { config: loopback, peer: '127.0.0.1' }).info.requestIdInResponse, true)
  t.equal(run(lines).info.requestIdInResponse, false)
})

t.test('via and add_user_agent tell who passed the request on', async t => {
  const { h } = run(['via: 1.1 a'], { config: { via: 'edge', addUserAgent: true } })
  t.equal(h.get('via'), '1.1 a, edge')
  t.equal(h.get('user-agent'), 'mesh')
  t.equal(h.get('x-envoy-downstream-service-cluster'), 'mesh')
  t.equal(h.get('x-envoy-downstream-service-node'), 'node')
})

t.test('internal_only_headers of the routes go from external requests only', t => {
  const routes = { internalOnlyHeaders: ['x-secret'] } as unknown as RouteTable
  const sent = ['x-secret: 1', 'x-other: 2', 'x-forwarded-for: 10.0.0.1']
  const names = (config: Partial<HcmConfig>) => run(sent, { config, routes }).names.filter(n => n === 'x-secret')
  t.same(names({}), [])
  t.same(names({ useRemoteAddress: true }), [])
  t.same(names({ internalRanges: ['10.0.0.0/8'] }), ['x-secret'])
  t.end()
})
