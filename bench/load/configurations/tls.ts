import type { Certificates, KeyPair } from '../certificates.ts'
import { HTTP_PLAN } from '../checks/plan.ts'
import type { Sites } from '../sites.ts'
import type { Configuration } from './configuration.ts'
import { bootstrap, cluster, httpListener, oneRoute, ROUTE_TIMEOUT_SECONDS, upstreamTls } from './envoy-http.ts'
import { toYaml } from './yaml.ts'

export const TLS_RSA: Configuration = tls('tls-rsa', 'TLS, RSA 2048', 'rsa', false, 'http1')
export const TLS_RSA_HTTP2: Configuration = tls('tls-rsa-http2', 'TLS, RSA 2048, HTTP/2', 'rsa', false, 'http2')
/** A ticket of the one worker must open at the other. */
export const TLS_RSA_TWO_WORKERS: Configuration = {
  ...TLS_RSA,
  id: 'tls-rsa-two-workers',
  title: 'TLS, RSA 2048, two workers',
  workers: 2,
}
export const TLS_EC: Configuration = tls('tls-p256', 'TLS, P-256', 'ec', false, 'http1')
export const MUTUAL_TLS: Configuration = tls('mtls', 'mutual TLS, RSA 2048', 'rsa', true, 'http1')

/** The outbound side of a mesh: plain requests in, mutual TLS 1.3 out, the server verified by its CA and its name. */
export const TLS_UPSTREAM: Configuration = {
  id: 'tls-upstream',
  title: 'mutual TLS to the upstream',
  workers: 1,
  tls: true,
  equivalent: null,
  checks: HTTP_PLAN,
  envoy: sites => {
    const { listen, admin, log, upstreams } = sites
    const { ca, client } = certificatesOf(sites)
    const socket = upstreamTls('bench.test', client, ca)
    return toYaml(
      bootstrap(
        admin,
        [httpListener({ port: listen, log, routes: oneRoute('upstream') })],
        [cluster('upstream', upstreams.mutualTls, false, { transport_socket: socket })],
      ),
    )
  },
}

function tls(
  id: string,
  title: string,
  key: 'rsa' | 'ec',
  clientCertificate: boolean,
  protocol: 'http1' | 'http2',
): Configuration {
  return {
    id,
    title,
    workers: 1,
    tls: true,
    equivalent: {
      kind: 'http',
      http2: protocol === 'http2',
      tls: key,
      clientCertificate,
      upstream: 'http1',
      timeoutSeconds: ROUTE_TIMEOUT_SECONDS,
    },
    checks: { ...HTTP_PLAN, protocol, tls: true, certificate: key, clientCertificate },
    envoy: sites => {
      const certificates = certificatesOf(sites)
      return toYaml(
        bootstrap(
          sites.admin,
          [
            httpListener({
              port: sites.listen,
              log: sites.log,
              routes: oneRoute('upstream'),
              tls: { pair: pairOf(certificates, key), clientCa: clientCertificate ? certificates.ca : null },
            }),
          ],
          [cluster('upstream', sites.upstreams.http1)],
        ),
      )
    },
  }
}

export function pairOf(certificates: Certificates, key: 'rsa' | 'ec'): KeyPair {
  return key === 'rsa' ? certificates.rsa : certificates.ec
}

export function certificatesOf(sites: Sites): Certificates {
  if (sites.certificates === null) throw new Error('this configuration needs certificates')
  return sites.certificates
}
