import { HTTP_PLAN } from '../checks/plan.ts'
import type { Configuration } from './configuration.ts'
import { bootstrap, cluster, httpListener, oneRoute, ROUTE_TIMEOUT_SECONDS } from './envoy-http.ts'
import { toYaml } from './yaml.ts'

/** gRPC through HTTP/2 on both sides. */
export const GRPC: Configuration = {
  id: 'grpc',
  title: 'gRPC, HTTP/2 to HTTP/2',
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
  envoy: ({ listen, admin, log, upstreams }) =>
    toYaml(
      bootstrap(
        admin,
        [httpListener({ port: listen, log, routes: oneRoute('upstream') })],
        [cluster('upstream', upstreams.grpc, true)],
      ),
    ),
}
