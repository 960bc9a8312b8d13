import { bootstrap, cluster, H2_UPSTREAM, httpListener } from '../configs/builder.ts'
import { admin, type Group, get, h2, raw, type Step, scenario } from '../scenario.ts'

/** drain_type: whether /healthcheck/fail asks clients to go. */
const ROUTES = '- {match: {prefix: /}, route: {cluster: a}}'
const post = (path: string): Step => admin(path, { method: 'POST', as: 'none' })
const asked = (listener: string): Step[] => [
  get('/one', { listener }),
  raw('GET /two HTTP/1.1\r\nHost: lab.test\r\n\r\n', { listener, responses: 1, methods: ['GET'] }),
  h2('/three', {}, listener),
]

const group: Group = {
  name: 'drain-type',
  upstreams: { a: { kind: 'h2' } },
  config: bootstrap(
    [
      httpListener('default', { routes: ROUTES, hcm: 'drain_timeout: 0.1s' }),
      httpListener('modify', { routes: ROUTES, listener: 'drain_type: MODIFY_ONLY' }),
    ],
    [cluster('a', 'a', H2_UPSTREAM)],
  ),
  scenarios: ['default', 'modify'].map(listener =>
    scenario(
      `healthcheck-fail-${listener}`,
      `Connections to a listener of drain_type ${listener} while the proxy is failed, and afterwards`,
      [post('/healthcheck/fail'), ...asked(listener), post('/healthcheck/ok'), ...asked(listener)],
    ),
  ),
}

export default group
