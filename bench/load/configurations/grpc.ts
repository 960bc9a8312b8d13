import { HTTP_PLAN } from '../checks/plan.ts'
import type { Configuration } from './configuration.ts'
import { bootstrap, cluster, httpListener, oneRoute, ROUTE_TIMEOUT_SECONDS, typed } from './envoy-http.ts'
import { toYaml } from './yaml.ts'

/** gRPC through HTTP/2 on both sides, with the statistics per method that a mesh has. */
export const GRPC: Configuration = {
  id: 'grpc',
  title: 'gRPC, HTTP/2 to HTTP/2, grpc_stats',
  workers: 1,
  tls: false,
  equivalent: {
    kind: 'grpc',
    http2: true,
    tls: 'none',
    clientCertificate: false,
    upstream: 'grpc',
    timeoutSeconds: ROUTE_TIMEOUT_SECONDS,
  },
  checks: { ...HTTP_PLAN, kind: 'grpc', protocol: 'http2', retries: false },
  envoy: ({ listen, admin, log, upstreams }) => {
    const stats = typed('extensions.filters.http.grpc_stats.v3.FilterConfig', {
      emit_filter_state: true,
      stats_for_all_methods: true,
    })
    return toYaml(
      bootstrap(
        admin,
        [
          httpListener({
            port: listen,
            log,
            routes: oneRoute('upstream'),
            filters: [{ name: 'envoy.filters.http.grpc_stats', typed_config: stats }],
          }),
        ],
        [cluster('upstream', upstreams.grpc, true)],
      ),
    )
  },
}
