import { HTTP_PLAN } from '../checks/plan.ts'
import type { Sites } from '../sites.ts'
import type { Configuration } from './configuration.ts'
import { bootstrap, cluster, httpListener, typed } from './envoy-http.ts'
import { type Plain, toYaml } from './yaml.ts'

/**
 * The filter chains an Istio sidecar has on its way in and out, less the filters that only Istio's build of Envoy knows
 * (istio.metadata_exchange, istio.alpn, istio.stats) and that Remora does not have (grpc_stats): what is left runs on both.
 * Clusters are static.
 */
export const ISTIO_INBOUND: Configuration = istio('istio-inbound', "Istio's inbound filter chain", inbound, {
  server: 'istio-envoy',
  host: 'bench.test',
  cluster: 'inbound|8080||',
})

export const ISTIO_OUTBOUND: Configuration = istio('istio-outbound', "Istio's outbound filter chain", outbound, {
  server: 'envoy',
  host: 'service-7.demo.svc.cluster.local',
  cluster: 'outbound|80||service-7.demo.svc.cluster.local',
})

/** Services the outbound route table knows; the request goes to one of them. */
const SERVICES = 20

/** Istio's EnvoyTextLogFormat. */
const LOG_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n'

const FILTERS: readonly Plain[] = [
  { name: 'envoy.filters.http.fault', typed_config: typed('extensions.filters.http.fault.v3.HTTPFault') },
  { name: 'envoy.filters.http.cors', typed_config: typed('extensions.filters.http.cors.v3.Cors') },
]

const MANAGER: Readonly<Record<string, Plain>> = {
  tracing: { client_sampling: { value: 100 }, random_sampling: { value: 1 }, overall_sampling: { value: 100 } },
  stream_idle_timeout: '0s',
  use_remote_address: false,
  proxy_100_continue: true,
  upgrade_configs: [{ upgrade_type: 'websocket' }],
  normalize_path: true,
  path_with_escaped_slashes_action: 'KEEP_UNCHANGED',
  request_id_extension: {
    typed_config: typed('extensions.request_id.uuid.v3.UuidRequestIdConfig', {
      use_request_id_for_trace_sampling: true,
    }),
  },
}

const UNLIMITED: Readonly<Record<string, Plain>> = {
  circuit_breakers: {
    thresholds: [
      {
        max_connections: 4294967295,
        max_pending_requests: 4294967295,
        max_requests: 4294967295,
        max_retries: 4294967295,
      },
    ],
  },
}

function istio(
  id: string,
  title: string,
  text: (sites: Sites) => Plain,
  seen: { readonly server: string; readonly host: string; readonly cluster: string },
): Configuration {
  return {
    id,
    title,
    workers: 1,
    tls: false,
    equivalent: null,
    // Istio's routes have no timeout unless a VirtualService asks for one.
    checks: { ...HTTP_PLAN, ...seen, retries: id === 'istio-outbound', stallSeconds: null },
    envoy: sites => toYaml(text(sites)),
  }
}

function inbound({ listen, admin, log, upstreams }: Sites): Plain {
  const route = {
    cluster: 'inbound|8080||',
    timeout: '0s',
    max_stream_duration: { max_stream_duration: '0s', grpc_timeout_header_max: '0s' },
  }
  const routes: Plain = {
    name: 'inbound|8080||',
    validate_clusters: false,
    virtual_hosts: [
      {
        name: 'inbound|http|8080',
        domains: ['*'],
        include_request_attempt_count: true,
        routes: [
          {
            name: 'default',
            match: { prefix: '/' },
            route,
            decorator: { operation: 'bench.demo.svc.cluster.local:8080/*' },
          },
        ],
      },
    ],
  }
  return bootstrap(
    admin,
    [
      httpListener({
        port: listen,
        log,
        logFormat: LOG_FORMAT,
        routes,
        filters: FILTERS,
        manager: {
          ...MANAGER,
          server_name: 'istio-envoy',
          forward_client_cert_details: 'APPEND_FORWARD',
          set_current_client_cert_details: { subject: true, dns: true, uri: true },
        },
        filterChainMatch: { transport_protocol: 'raw_buffer', application_protocols: ['http/1.1', 'h2c'] },
        listener: {
          traffic_direction: 'INBOUND',
          listener_filters_timeout: '0s',
          continue_on_listener_filters_timeout: true,
          listener_filters: [
            {
              name: 'envoy.filters.listener.tls_inspector',
              typed_config: typed('extensions.filters.listener.tls_inspector.v3.TlsInspector'),
            },
            {
              name: 'envoy.filters.listener.http_inspector',
              typed_config: typed('extensions.filters.listener.http_inspector.v3.HttpInspector'),
            },
          ],
        },
      }),
    ],
    [cluster('inbound|8080||', upstreams.http1, false, UNLIMITED)],
  )
}

function outbound({ listen, admin, log, upstreams }: Sites): Plain {
  const names = Array.from({ length: SERVICES }, (_, i) => `service-${i}.demo.svc.cluster.local`)
  const routes: Plain = {
    name: '80',
    validate_clusters: false,
    ignore_port_in_host_matching: true,
    max_direct_response_body_size_bytes: 1048576,
    virtual_hosts: names.map(name => {
      const short = name.split('.')[0]!
      return {
        name: `${name}:80`,
        domains: [name, `${name}.`, short, `${short}.demo.svc`, `${short}.demo`],
        include_request_attempt_count: true,
        routes: [
          {
            name: 'default',
            match: { prefix: '/' },
            route: {
              cluster: `outbound|80||${name}`,
              timeout: '0s',
              max_grpc_timeout: '0s',
              retry_policy: {
                retry_on: 'connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes',
                num_retries: 2,
                retriable_status_codes: [503],
                retry_host_predicate: [
                  {
                    name: 'envoy.retry_host_predicates.previous_hosts',
                    typed_config: typed('extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate'),
                  },
                ],
                host_selection_retry_max_attempts: 5,
              },
            },
            decorator: { operation: `${name}:80/*` },
          },
        ],
      }
    }),
  }
  return bootstrap(
    admin,
    [
      httpListener({
        port: listen,
        log,
        logFormat: LOG_FORMAT,
        routes,
        filters: FILTERS,
        manager: MANAGER,
        listener: { traffic_direction: 'OUTBOUND' },
      }),
    ],
    names.map(name =>
      cluster(`outbound|80||${name}`, upstreams.http1, false, {
        ...UNLIMITED,
        lb_policy: 'LEAST_REQUEST',
        common_lb_config: { healthy_panic_threshold: {} },
      }),
    ),
  )
}
