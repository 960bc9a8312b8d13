import { bootstrap, cluster, hcm, httpListener, typed } from '../configs/builder.ts'
import { type Group, get, raw, type Step, scenario, together } from '../scenario.ts'

/** Timeouts of a stream whose route changes under it: a filter clears the route cache, or the route configuration comes anew. */
const STATE = typed(
  'state',
  'envoy.extensions.filters.http.set_filter_state.v3.Config',
  `clear_route_cache: true
on_request_headers:
- {object_key: way, factory_key: envoy.string, format_string: {text_format_source: {inline_string: other}}}`,
)
/** Routes before and after the filter; `hcm` is YAML of further fields. */
const changing = (name: string, before: string, after: string, more = '') =>
  httpListener(name, {
    routes: `
- {name: after, match: {prefix: /, filter_state: [{key: way, string_match: {exact: other}}]}, route: {cluster: a${after}}}
- {name: before, match: {prefix: /}, route: {cluster: a${before}}}
`,
    hcm: more,
    filters: [STATE],
  })
const idle = (time: string) => `, idle_timeout: ${time}`
const duration = (time: string) => `, max_stream_duration: {max_stream_duration: ${time}}`

/** From, to, and the connection manager's own. */
const CASES: Record<string, readonly [before: string, after: string, more?: string]> = {
  idlelonger: [idle('0.25s'), idle('5s')],
  idleshorter: [idle('5s'), idle('0.25s')],
  idleleft: [idle('0.25s'), ''],
  idleleftshort: [idle('5s'), '', 'stream_idle_timeout: 0.25s'],
  idlecame: ['', idle('0.25s'), 'stream_idle_timeout: 5s'],
  idlecamefirst: ['', idle('0.25s'), 'stream_idle_timeout: 0s'],
  idlenone: [idle('0.25s'), idle('0s')],
  idlenoneleft: [idle('0s'), '', 'stream_idle_timeout: 0.25s'],
  durationlonger: [duration('0.25s'), duration('5s')],
  durationshorter: [duration('5s'), duration('0.25s')],
  durationleft: [duration('0.25s'), ''],
  durationcame: ['', duration('0.25s')],
  durationnone: [duration('0.25s'), duration('0s')],
  durationleftshort: [duration('5s'), '', 'common_http_protocol_options: {max_stream_duration: 0.25s}'],
}
const names = Object.keys(CASES)
const idles = names.filter(name => name.startsWith('idle'))
const durations = names.filter(name => name.startsWith('duration'))

/** Nothing happens for 600 ms after the head. */
const quiet = (listener: string): Step => get(`/${listener}`, { listener, up: 'delay:600,ok' })
/** The body ends 100 ms after the head, and then nothing happens for 600 ms. */
const slowBody = (listener: string): Step => {
  const head = `POST /${listener} HTTP/1.1\r\nHost: lab.test\r\nx-up: delay:600,ok\r\ncontent-length: 4\r\n\r\n`
  return raw([`${head}ab`, { wait: 100 }, 'cd'], { listener, responses: 1, methods: ['POST'] })
}
const AT_ONCE = { upstream: false, unordered: true }

/** Routes of the request before and after an internal redirect, which takes 300 ms, as the answer to it does. */
const redirecting = (name: string, before: string, after: string, more = '') =>
  httpListener(name, {
    routes: `
- {match: {prefix: /to/}, route: {cluster: a${after}}}
- {match: {prefix: /}, route: {cluster: a, internal_redirect_policy: {}${before}}}
`,
    hcm: more,
  })
const REDIRECTS: Record<string, readonly [before: string, after: string, more?: string]> = {
  reidle: ['', idle('0.2s')],
  fromidle: [idle('0.45s'), ''],
  fromnone: [idle('0s'), '', 'stream_idle_timeout: 0.2s'],
  resame: ['', '', 'stream_idle_timeout: 0.45s'],
  reduration: ['', duration('0.45s')],
  rebrief: ['', duration('0.2s')],
  fromduration: [duration('0.45s'), ''],
  sameduration: ['', '', 'common_http_protocol_options: {max_stream_duration: 0.45s}'],
}
const redirected = (name: string): Step =>
  get(`/${name}`, {
    listener: name,
    up: `delay:300,status:302,hdr:location=http://lab.test/to/${name}|delay:300,ok`,
  })

let version = 1
function table(name: string, time: string): object {
  const resource = {
    '@type': 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
    name,
    virtual_hosts: [
      {
        name: 'all',
        domains: ['*'],
        routes: [{ match: { prefix: '/' }, route: { cluster: 'a', idle_timeout: time } }],
      },
    ],
  }
  return { version_info: String(version++), resources: [resource] }
}
const discovered = (name: string) => {
  const manager = hcm(name, { routes: '[]' })
  const { route_config: _, ...rest } = manager['typed_config'] as Record<string, unknown>
  const source = { path_config_source: { path: `$tmp/${name}.json` }, resource_api_version: 'V3' }
  const config = { ...rest, rds: { route_config_name: name, config_source: source } }
  return httpListener(name, { chains: [{ filters: [{ ...manager, typed_config: config }] }] })
}
const update = (name: string, time: string): Step => ({
  kind: 'file',
  name: `${name}.json`,
  content: table(name, time),
})

const group: Group = {
  name: 'route-refresh',
  upstreams: { a: { kind: 'http1' } },
  files: { 'grows.json': table('grows', '0.4s'), 'shrinks.json': table('shrinks', '5s') },
  config: bootstrap(
    [
      ...names.map(name => changing(name, ...CASES[name]!)),
      ...Object.keys(REDIRECTS).map(name => redirecting(name, ...REDIRECTS[name]!)),
      discovered('grows'),
      discovered('shrinks'),
    ],
    [cluster('a', 'a')],
  ),
  scenarios: [
    scenario(
      'idle-quiet',
      'The idle timeout of the new route holds at once; a route without one leaves that of the old route',
      together(...idles.map(quiet)),
      [],
      AT_ONCE,
    ),
    scenario('idle-body', 'So it does while there is a body', together(...idles.map(slowBody)), [], AT_ONCE),
    scenario(
      'duration-quiet',
      'max_stream_duration of the new route holds at once; without one it is that of the connection manager',
      together(...durations.map(quiet)),
      [],
      AT_ONCE,
    ),
    scenario('duration-body', 'So it does while there is a body', together(...durations.map(slowBody)), [], AT_ONCE),
    scenario(
      'redirect',
      'After an internal redirect the idle timeout begins anew, and the duration counts from the first request',
      together(...Object.keys(REDIRECTS).map(redirected)),
      [],
      AT_ONCE,
    ),
    scenario(
      'rds-longer',
      'A longer idle timeout that comes by RDS is for later requests',
      together(get('/', { listener: 'grows', up: 'delay:900,ok' }), [100, update('grows', '5s')]),
      [],
      { upstream: false },
    ),
    scenario(
      'rds-shorter',
      'A shorter idle timeout that comes by RDS is for later requests',
      together(get('/', { listener: 'shrinks', up: 'delay:900,ok' }), [100, update('shrinks', '0.3s')]),
      [],
      { upstream: false },
    ),
    scenario(
      'rds-later',
      'The later requests',
      [get('/', { listener: 'grows', up: 'delay:600,ok' }), get('/', { listener: 'shrinks', up: 'delay:600,ok' })],
      [],
      { upstream: false },
    ),
  ],
}

export default group
