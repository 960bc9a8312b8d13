import { HTTP_PLAN } from '../checks/plan.ts'
import type { Configuration } from './configuration.ts'
import { address, bootstrap, cluster, fileLog, typed } from './envoy-http.ts'
import { toYaml } from './yaml.ts'

export const TCP: Configuration = {
  id: 'tcp',
  title: 'TCP proxy with access log',
  workers: 1,
  tls: false,
  equivalent: {
    kind: 'tcp',
    http2: false,
    tls: 'none',
    clientCertificate: false,
    upstream: 'tcp',
    timeoutSeconds: 60,
  },
  checks: { ...HTTP_PLAN, kind: 'tcp', statPrefix: 'relay', retries: false, stallSeconds: null },
  envoy: ({ listen, admin, log, upstreams }) => {
    const proxy = typed('extensions.filters.network.tcp_proxy.v3.TcpProxy', {
      stat_prefix: 'relay',
      cluster: 'upstream',
      idle_timeout: '60s',
      access_log: [fileLog(log)],
    })
    return toYaml(
      bootstrap(
        admin,
        [
          {
            name: 'relay',
            address: address(listen),
            filter_chains: [{ filters: [{ name: 'envoy.filters.network.tcp_proxy', typed_config: proxy }] }],
          },
        ],
        [cluster('upstream', upstreams.tcp)],
      ),
    )
  },
}
