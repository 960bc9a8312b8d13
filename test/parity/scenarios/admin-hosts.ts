import { bootstrap, httpListener, yaml } from '../configs/builder.ts'
import { admin, type Group, get, type Scenario, type Step, scenario } from '../scenario.ts'

/** Hosts as admin shows them where they are not addresses of the configuration: sockets by relative path, original destinations. */
const ROUTES = `
- {match: {prefix: /}, route: {cluster: original}}
`
const ORIGINAL = `
name: original
type: ORIGINAL_DST
lb_policy: CLUSTER_PROVIDED
connect_timeout: 1s
cleanup_interval: 60s
original_dst_lb_config: {use_http_header: true}
`
const PIPE = `
name: pipe
type: STATIC
connect_timeout: 1s
load_assignment: {cluster_name: pipe, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: ./nobody}}}}]}]}
`
const EDS = `
name: eds
type: EDS
connect_timeout: 1s
eds_cluster_config:
  service_name: eds
  eds_config:
    resource_api_version: V3
    initial_fetch_timeout: 0.1s
    api_config_source: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}
`
const XDS = PIPE.replaceAll(': pipe', ': xds')
const to = (upstream: string): Step =>
  get('/x', { headers: [`x-envoy-original-dst-host: 127.0.0.1:$port(${upstream})`] })
const clusters = (name: string): Step =>
  admin(`/clusters?filter=^${name}$`, { as: 'lines', only: '::(127|\\./|eds_service)' })
const json = (path: string): Step => admin(path, { as: 'json' })
const one = (name: string, doc: string, ...steps: Step[]): Scenario => scenario(name, doc, steps, [], { log: false })

const group: Group = {
  name: 'admin-hosts',
  upstreams: { a: { kind: 'http1' }, b: { kind: 'http1' } },
  config: bootstrap([httpListener('main', { routes: ROUTES })], [yaml(ORIGINAL), yaml(PIPE), yaml(XDS), yaml(EDS)]),
  scenarios: [
    one('pipe', 'A relative path is a pipe', clusters('pipe'), json('/clusters?format=json&filter=^pipe$')),
    one(
      'eds-name',
      'A service name is shown even where it is the name of the cluster',
      clusters('eds'),
      json('/clusters?format=json&filter=^eds$'),
    ),
    one(
      'original',
      'Original destinations are hosts with numbers',
      to('a'),
      to('a'),
      clusters('original'),
      json('/clusters?format=json&filter=^original$'),
    ),
    one(
      'assignments',
      'Hosts as assignments: each original destination is a locality',
      to('a'),
      to('b'),
      json('/config_dump?include_eds&resource=static_endpoint_configs'),
      json('/config_dump?include_eds&resource=dynamic_endpoint_configs'),
    ),
    one(
      'membership',
      'What was met counts as members',
      admin('/stats?filter=^cluster.original.membership', { as: 'text' }),
    ),
  ],
}

export default group
