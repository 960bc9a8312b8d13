import { bootstrap, cluster, httpListener, typed } from '../configs/builder.ts'
import { type Group, get, type Step, scenario } from '../scenario.ts'

/** The deprecated `cors` of routes and virtual hosts, alone and beside per-filter policies. */
const legacy = (who: string, more = '') =>
  `cors: {allow_origin_string_match: [{exact: "http://${who}.test"}], allow_methods: ${who}${more}}`
const perFilter = (who: string) =>
  `typed_per_filter_config: {envoy.filters.http.cors: {"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy, allow_origin_string_match: [{exact: "http://${who}.test"}], allow_methods: ${who}}}`
const ROUTES = `
- {match: {prefix: /legacy}, route: {cluster: a, ${legacy('route')}}}
- {match: {prefix: /open}, route: {cluster: a, cors: {allow_headers: x-open}}}
- {match: {prefix: /off}, route: {cluster: a, ${legacy('route', ', filter_enabled: {default_value: {numerator: 0}}')}}}
- {match: {prefix: /typed}, route: {cluster: a}, ${perFilter('typed')}}
- {match: {prefix: /both}, route: {cluster: a, ${legacy('route')}}, ${perFilter('typed')}}
- {match: {prefix: /}, route: {cluster: a}}
`
const VHOSTS = ['legacy', 'typed', 'both']
const vhost = (name: string, extra: string) => `
- name: ${name}
  domains: [${name}.test]
  ${extra.replaceAll('\n', '\n  ')}
  routes: ${ROUTES.replaceAll('\n', '\n  ')}`

const asked = (listener: string, host: string, path: string): Step[] =>
  ['route', 'typed', 'vlegacy', 'vtyped'].flatMap(who => [
    get(path, { listener, host: `${host}.test`, headers: [`origin: http://${who}.test`], linger: 1 }),
    get(path, {
      listener,
      host: `${host}.test`,
      method: 'OPTIONS',
      headers: [`origin: http://${who}.test`, 'access-control-request-method: PUT'],
      linger: 1,
    }),
  ])

const group: Group = {
  name: 'cors',
  upstreams: { a: { kind: 'http1' } },
  config: bootstrap(
    [
      httpListener('main', {
        filters: [typed('envoy.filters.http.cors', 'envoy.extensions.filters.http.cors.v3.Cors')],
        vhosts: [
          vhost('legacy', legacy('vlegacy')),
          vhost('typed', perFilter('vtyped')),
          vhost('both', `${legacy('vlegacy')}\n${perFilter('vtyped')}`),
        ].join(''),
      }),
      httpListener('without', { vhosts: vhost('legacy', legacy('vlegacy')) }),
    ],
    [cluster('a', 'a')],
  ),
  scenarios: [
    ...VHOSTS.flatMap(host =>
      ['legacy', 'open', 'off', 'typed', 'both', 'none'].map(path =>
        scenario(
          `${host}-${path}`,
          `Which policies hold for the route ${path} of the virtual host ${host}`,
          asked('main', host, `/${path}`),
          [],
          { log: false, upstream: false },
        ),
      ),
    ),
    scenario('no-filter', 'Without the filter a policy does nothing', asked('without', 'legacy', '/legacy'), [], {
      log: false,
      upstream: false,
    }),
  ],
}

export default group
