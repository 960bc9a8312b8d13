import { HTTP_PLAN } from '../checks/plan.ts'
import type { Configuration, Equivalent } from './configuration.ts'
import { bootstrap, cluster, httpListener, oneRoute, ROUTE_TIMEOUT_SECONDS } from './envoy-http.ts'
import { toYaml } from './yaml.ts'

const PLAIN: Equivalent = {
  kind: 'http',
  http2: false,
  tls: 'none',
  clientCertificate: false,
  upstream: 'http1',
  timeoutSeconds: ROUTE_TIMEOUT_SECONDS,
}

/** Stats, access log, request ids, x-envoy headers, timeouts and a retry policy: nothing switched off. */
export const HTTP1: Configuration = plainHttp('http1', 'HTTP/1.1 to HTTP/1.1', 1, PLAIN)
export const HTTP2: Configuration = plainHttp('http2', 'HTTP/2 to HTTP/1.1', 1, { ...PLAIN, http2: true })
export const HTTP2_BOTH: Configuration = plainHttp('http2-both', 'HTTP/2 to HTTP/2', 1, {
  ...PLAIN,
  http2: true,
  upstream: 'http2',
})
/** One worker and two on all cores, for the cost of the second: two workers cannot be held on one core. */
export const HTTP1_ONE_WORKER: Configuration = {
  ...plainHttp('http1-one-worker', 'HTTP/1.1, one worker on all cores', 1, PLAIN),
  allCores: true,
}
export const HTTP1_TWO_WORKERS: Configuration = plainHttp('http1-two-workers', 'HTTP/1.1, two workers', 2, PLAIN)
export const HTTP1_BODIES: Configuration = plainHttp('bodies', 'HTTP/1.1, bodies', 1, { ...PLAIN, timeoutSeconds: 60 })
export const HTTP2_BODIES: Configuration = plainHttp('http2-bodies', 'HTTP/2 to HTTP/2, bodies', 1, {
  ...PLAIN,
  http2: true,
  upstream: 'http2',
  timeoutSeconds: 60,
})

function plainHttp(id: string, title: string, workers: number, equivalent: Equivalent): Configuration {
  const http2Upstream = equivalent.upstream === 'http2'
  return {
    id,
    title,
    workers,
    tls: false,
    equivalent,
    checks: {
      ...HTTP_PLAN,
      protocol: equivalent.http2 ? 'http2' : 'http1',
      stallSeconds: equivalent.timeoutSeconds <= 5 ? equivalent.timeoutSeconds : null,
    },
    envoy: ({ listen, admin, log, upstreams }) =>
      toYaml(
        bootstrap(
          admin,
          [httpListener({ port: listen, log, routes: oneRoute('upstream', equivalent.timeoutSeconds) })],
          [cluster('upstream', http2Upstream ? upstreams.http2 : upstreams.http1, http2Upstream)],
        ),
      ),
  }
}
