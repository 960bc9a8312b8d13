import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { allocatePort } from '../harness/ports.ts'
import { RunningProxy } from '../integration/proxy/running-proxy.ts'
import { everyFilter, FILTERS, HTTP, typed } from './every-filter.ts'
import { exchange } from './exchange.ts'
import { RecordingUpstream } from './recording-upstream.ts'

/** Behind the filter under test: a service chooses the route by the header that it adds. */
const REROUTER = typed('reroute', `${HTTP}.ext_authz.v3.ExtAuthz`, {
  transport_api_version: 'V3',
  clear_route_cache: true,
  http_service: {
    server_uri: { uri: 'http://choice.test', cluster: 'upstream', timeout: '20s' },
    path_prefix: '/choice',
    authorization_response: { allowed_upstream_headers: { patterns: [{ exact: 'x-to' }] } },
  },
})
const to = (exact: string): object => ({ prefix: '/', headers: [{ name: 'x-to', string_match: { exact } }] })
const limit = (value: string, more: object = {}): object => ({
  actions: [{ generic_key: { descriptor_value: value } }],
  ...more,
})
const AFTERWARDS = { apply_on_stream_done: true }
const ROUTES = [
  { match: to('direct'), direct_response: { status: 299 } },
  { match: to('redirect'), redirect: { path_redirect: '/x' } },
  { match: to('other'), route: { cluster: 'upstream', rate_limits: [limit('other', AFTERWARDS)] } },
  {
    match: { prefix: '/', headers: [{ name: 'x-to', present_match: true, invert_match: true }] },
    route: { cluster: 'upstream', rate_limits: [limit('begin'), limit('done', AFTERWARDS)] },
  },
]
/** Path, which is what the service is asked, and the status of where it leads. */
const CHOICES = { direct: 299, redirect: 301, other: 200, nowhere: 404 }

t.test('a route that is chosen anew, or is no more, leaves no filter without what it reckoned with', async t => {
  const upstream = await RecordingUpstream.start()
  upstream.answer = path =>
    `HTTP/1.1 200 OK\r\nx-to: ${path.startsWith('/choice/') ? path.slice(8) : 'x'}\r\ncontent-length: 0\r\n\r\n`
  const folder = mkdtempSync(join(tmpdir(), 'remora-rerouted-'))
  const listeners = new Map<string, number>()
  for (const name of [...Object.keys(FILTERS), 'all']) listeners.set(name, await allocatePort())
  const proxy = await RunningProxy.start({
    upstream: upstream.port,
    bootstrap: everyFilter(listeners, folder, upstream.port, false, { filters: [REROUTER], routes: ROUTES }),
  })
  t.teardown(async () => {
    await proxy.stop()
    await upstream.stop()
    rmSync(folder, { recursive: true, force: true })
  })
  for (const [name, port] of listeners) {
    for (const [path, status] of Object.entries(CHOICES)) {
      for (const head of ['GET', 'POST']) {
        const body = head === 'GET' ? '' : 'hello'
        const request = `${head} /${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`
        const { text } = await exchange(port, request, 20_000)
        t.equal(text.slice(9, 12), String(status), `${name}: ${head} ${path}`)
      }
    }
  }
  // By then it has said all that it had to say.
  await proxy.stop()
  t.notMatch(proxy.log, /exited with code/, 'no worker has ended')
})
