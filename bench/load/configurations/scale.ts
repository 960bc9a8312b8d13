import { HTTP_PLAN } from '../checks/plan.ts'
import type { Sites } from '../sites.ts'
import type { Configuration } from './configuration.ts'
import { bootstrap, cluster, httpListener, routeAction } from './envoy-http.ts'
import { type Plain, toYaml } from './yaml.ts'

/** As many clusters as the bench's control plane has. */
export const MANY = 10_000

/** As many virtual hosts as clusters, each with its own route, timeout and retry policy; requests go to the one in the middle. */
export function manyClusters(count: number, workers: number): Configuration {
  const host = (i: number): string => `service-${i}.bench.test`
  const middle = count >> 1
  return {
    id: `clusters-${count}-workers-${workers}`,
    title: `${count} clusters and virtual hosts, ${workers} worker${workers === 1 ? '' : 's'}`,
    workers,
    tls: false,
    equivalent: null,
    checks: { ...HTTP_PLAN, host: host(middle), cluster: `cluster-${middle}` },
    envoy: ({ listen, admin, log, upstreams }) => {
      const indices = Array.from({ length: count }, (_, i) => i)
      const routes: Plain = {
        name: 'local',
        virtual_hosts: indices.map(i => ({
          name: `service-${i}`,
          domains: [host(i)],
          include_request_attempt_count: true,
          routes: [{ match: { prefix: '/' }, route: routeAction(`cluster-${i}`) }],
        })),
      }
      const clusters = indices.map(i => cluster(`cluster-${i}`, upstreams.http1))
      return toYaml(bootstrap(admin, [httpListener({ port: listen, log, routes })], clusters))
    },
  }
}

/** As many clusters, whose endpoints come by delta xDS. */
export const MANY_ENDPOINTS: Configuration = {
  ...dynamic('endpoints'),
  title: `${MANY} clusters with endpoints by delta xDS`,
  envoy: sites => {
    const clusters: Plain[] = []
    for (let i = 0; i < MANY; i++) {
      clusters.push({
        name: `cluster-${i}`,
        type: 'EDS',
        connect_timeout: '1s',
        eds_cluster_config: { eds_config: ADS },
      })
    }
    return dynamicBootstrap(sites, clusters, {})
  },
}

/** As many clusters by delta xDS, endpoints in them. */
export const MANY_CLUSTERS: Configuration = {
  ...dynamic('clusters'),
  title: `${MANY} clusters by delta xDS`,
  envoy: sites => dynamicBootstrap(sites, [], { cds_config: ADS }),
}

const ADS: Plain = { resource_api_version: 'V3', ads: {} }

function dynamic(what: string) {
  return {
    id: `${what}-${MANY}`,
    controlPlane: true,
    workers: 2,
    tls: false,
    equivalent: null,
    checks: { ...HTTP_PLAN, cluster: `cluster-${MANY >> 1}` },
  }
}

function dynamicBootstrap(
  { listen, admin, log, upstreams }: Sites,
  clusters: readonly Plain[],
  resources: Readonly<Record<string, Plain>>,
): string {
  const route = { match: { prefix: '/' }, route: routeAction(`cluster-${MANY >> 1}`) }
  const routes: Plain = {
    name: 'local',
    validate_clusters: false,
    virtual_hosts: [{ name: 'all', domains: ['*'], include_request_attempt_count: true, routes: [route] }],
  }
  const statics = [cluster('xds', upstreams.xds, true), ...clusters]
  return toYaml({
    ...(bootstrap(admin, [httpListener({ port: listen, log, routes })], statics) as Record<string, Plain>),
    node: { id: 'bench', cluster: 'bench' },
    dynamic_resources: {
      ...resources,
      ads_config: {
        api_type: 'DELTA_GRPC',
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds' } }],
      },
    },
  })
}

/** `/hold` waits forever on an upstream connection that is shared (HTTP/2), so that what grows is one stream. */
export const IDLE: Configuration = {
  id: 'idle',
  title: 'HTTP with a path that waits',
  workers: 1,
  tls: false,
  equivalent: null,
  checks: HTTP_PLAN,
  envoy: ({ listen, admin, log, upstreams }) => {
    const hold: Plain = { match: { prefix: '/hold' }, route: { cluster: 'hold', timeout: '0s', idle_timeout: '0s' } }
    const routes: Plain = {
      name: 'local',
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          include_request_attempt_count: true,
          routes: [hold, { match: { prefix: '/' }, route: routeAction('upstream') }],
        },
      ],
    }
    return toYaml(
      bootstrap(
        admin,
        [httpListener({ port: listen, log, routes })],
        [cluster('upstream', upstreams.http1), cluster('hold', upstreams.hold, true)],
      ),
    )
  },
}
