import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Pod, Topology } from './topology.ts'

/**
 * The first configuration of the lab, as files for people to read and edit: `<folder>/<pod>/*.yaml`, in the form and
 * with the names istiod would give (`outbound|80|v1|echo`), only less of it.
 */
export function writeMeshConfig(folder: string, logs: string, topology: Topology): void {
  const write = (pod: string, file: string, text: string): void => {
    mkdirSync(join(folder, pod), { recursive: true })
    writeFileSync(join(folder, pod, file), text)
  }
  const { client, ...servers } = topology.pods
  write('client', 'clusters.yaml', clientClusters())
  write('client', 'endpoints.yaml', clientEndpoints(topology))
  write('client', 'routes.yaml', clientRoutes())
  write('client', 'listeners.yaml', clientListeners(topology, accessLogPath(logs, client)))
  for (const pod of Object.values(servers)) {
    write(pod.name, 'clusters.yaml', inboundCluster(pod))
    write(pod.name, 'listeners.yaml', inboundListener(topology, pod, accessLogPath(logs, pod)))
  }
}

export function accessLogPath(logs: string, pod: Pod): string {
  return join(logs, `${pod.name}.access.log`)
}

const TYPE = 'type.googleapis.com/envoy'
const HCM = `${TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`
const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
const LOG_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% ' +
  '%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% attempts=%UPSTREAM_REQUEST_ATTEMPT_COUNT% %DURATION%ms ' +
  '%UPSTREAM_CLUSTER% %UPSTREAM_HOST% id=%REQ(X-REQUEST-ID)%\n'

function outboundCluster(name: string, http2: boolean): string {
  return `- "@type": ${TYPE}.config.cluster.v3.Cluster
  name: ${name}
  type: EDS
  connect_timeout: 1s
  eds_cluster_config: { eds_config: { ads: {}, resource_api_version: V3 } }
${http2 ? http2Options() : ''}`
}

function http2Options(): string {
  return `  typed_extension_protocol_options:
    ${HTTP_OPTIONS}:
      "@type": type.googleapis.com/${HTTP_OPTIONS}
      explicit_http_config: { http2_protocol_options: {} }
`
}

function clientClusters(): string {
  return `# Where the client's sidecar can send requests. Who is in each cluster stands in endpoints.yaml.
resources:
${outboundCluster('outbound|80|v1|echo', false)}${outboundCluster('outbound|80|v2|echo', false)}${outboundCluster('outbound|7070||grpc-echo', true)}`
}

function clientEndpoints(topology: Topology): string {
  const assignment = (cluster: string, pod: Pod): string => `- "@type": ${TYPE}.config.endpoint.v3.ClusterLoadAssignment
  cluster_name: ${cluster}
  endpoints:
  - lb_endpoints:
    - endpoint: { address: { socket_address: { address: ${pod.address}, port_value: ${pod.servicePort} } } }
`
  const { pods } = topology
  return `# The pods behind each cluster.
resources:
${assignment('outbound|80|v1|echo', pods['echo-v1'])}${assignment('outbound|80|v2|echo', pods['echo-v2'])}${assignment('outbound|7070||grpc-echo', pods['grpc-echo'])}`
}

function clientRoutes(): string {
  return `# What happens to a request. Edit and save: the proxies follow within a second.
resources:
- "@type": ${TYPE}.config.route.v3.RouteConfiguration
  name: "80"
  virtual_hosts:
  - name: echo
    domains: ["*"]
    include_request_attempt_count: true
    routes:
    - name: by-header
      match: { prefix: /, headers: [{ name: x-version, string_match: { exact: v2 } }] }
      route: { cluster: "outbound|80|v2|echo" }
    - name: flaky
      match: { path: /flaky }
      route:
        cluster: outbound|80|v1|echo
        retry_policy: { retry_on: 5xx, num_retries: 2 }
    - name: slow-once
      match: { path: /slow-once }
      route:
        cluster: outbound|80|v1|echo
        timeout: 3s
        retry_policy: { retry_on: 5xx, num_retries: 1, per_try_timeout: 0.25s }
    - name: slow
      match: { path: /slow }
      route: { cluster: "outbound|80|v2|echo", timeout: 0.3s }
    - name: fault
      match: { path: /fault }
      route: { cluster: "outbound|80|v1|echo" }
      typed_per_filter_config:
        envoy.filters.http.fault:
          "@type": ${TYPE}.extensions.filters.http.fault.v3.HTTPFault
          abort: { http_status: 418, percentage: { numerator: 100 } }
    - name: split
      match: { prefix: / }
      route:
        weighted_clusters:
          clusters:
          - { name: "outbound|80|v1|echo", weight: 75 }
          - { name: "outbound|80|v2|echo", weight: 25 }
- "@type": ${TYPE}.config.route.v3.RouteConfiguration
  name: "7070"
  virtual_hosts:
  - name: grpc-echo
    domains: ["*"]
    routes:
    - match: { prefix: / }
      route: { cluster: "outbound|7070||grpc-echo", timeout: 0s }
`
}

function connectionManager(indent: string, statPrefix: string, routes: string, log: string, fault: boolean): string {
  const faultFilter = `    - name: envoy.filters.http.fault
      typed_config: { "@type": ${TYPE}.extensions.filters.http.fault.v3.HTTPFault }
`
  const text = `- name: envoy.filters.network.http_connection_manager
  typed_config:
    "@type": ${HCM}
    stat_prefix: ${statPrefix}
    codec_type: AUTO
${routes}    http_filters:
${fault ? faultFilter : ''}    - name: envoy.filters.http.router
      typed_config: { "@type": ${TYPE}.extensions.filters.http.router.v3.Router }
    access_log:
    - name: envoy.access_loggers.file
      typed_config:
        "@type": ${TYPE}.extensions.access_loggers.file.v3.FileAccessLog
        path: ${log}
        log_format:
          text_format_source:
            inline_string: ${JSON.stringify(LOG_FORMAT)}
`
  return indentLines(text, indent)
}

function rdsRoutes(name: string): string {
  return `    rds: { route_config_name: "${name}", config_source: { ads: {}, resource_api_version: V3 } }\n`
}

function address(host: string, port: number): string {
  return `{ socket_address: { address: ${host}, port_value: ${port} } }`
}

function clientListeners(topology: Topology, log: string): string {
  const { echo, grpc, tryHost, tryPort } = topology
  const outbound = (name: string, host: string, port: number, routes: string, bind: boolean): string =>
    `- "@type": ${TYPE}.config.listener.v3.Listener
  name: ${name}
  traffic_direction: OUTBOUND
  address: ${address(host, port)}
${bind ? '' : '  bind_to_port: false\n'}  filter_chains:
  - filters:
${connectionManager('    ', `outbound_${name}`, rdsRoutes(routes), log, true)}`
  const explicit = topology.mode === 'explicit'
  // With redirection a listener per port takes what arrives at 15001 for that port, whatever the address.
  const host = (service: { host: string }): string => (explicit ? service.host : '0.0.0.0')
  return `# Where the client's sidecar listens.
resources:
${explicit ? '' : virtualOutbound()}${outbound('http', host(echo), echo.port, '80', explicit)}${outbound('grpc', host(grpc), grpc.port, '7070', explicit)}# For people: curl http://${tryHost}:${tryPort}/
${outbound('try', tryHost, tryPort, '80', true)}`
}

function virtualOutbound(): string {
  return `- "@type": ${TYPE}.config.listener.v3.Listener
  name: virtualOutbound
  traffic_direction: OUTBOUND
  address: ${address('0.0.0.0', 15001)}
  # iptables sends every outbound connection here; the listener for its original port takes it over.
  use_original_dst: true
  filter_chains:
  - filters:
    - name: envoy.filters.network.tcp_proxy
      typed_config:
        "@type": ${TYPE}.extensions.filters.network.tcp_proxy.v3.TcpProxy
        stat_prefix: BlackHoleCluster
        cluster: BlackHoleCluster
`
}

function inboundCluster(pod: Pod): string {
  return `# The application of this pod.
resources:
- "@type": ${TYPE}.config.cluster.v3.Cluster
  name: inbound|${pod.appPort}||
  type: STATIC
  connect_timeout: 1s
  load_assignment:
    cluster_name: inbound|${pod.appPort}||
    endpoints:
    - lb_endpoints:
      - endpoint: { address: ${address('127.0.0.1', pod.appPort)} }
${pod.name === 'grpc-echo' ? http2Options() : ''}`
}

function inboundListener(topology: Topology, pod: Pod, log: string): string {
  const explicit = topology.mode === 'explicit'
  const routes = `    route_config:
      name: inbound|${pod.appPort}||
      virtual_hosts:
      - name: inbound|http|${pod.appPort}
        domains: ["*"]
        routes:
        - match: { prefix: / }
          route: { cluster: "inbound|${pod.appPort}||", timeout: 0s }
`
  const originalDst = `  # iptables sends every inbound connection here; the original port chooses the filter chain.
  listener_filters:
  - name: envoy.filters.listener.original_dst
    typed_config: { "@type": ${TYPE}.extensions.filters.listener.original_dst.v3.OriginalDst }
`
  return `# Where this pod's sidecar listens for others.
resources:
- "@type": ${TYPE}.config.listener.v3.Listener
  name: virtualInbound
  traffic_direction: INBOUND
  address: ${explicit ? address(pod.address, pod.servicePort) : address('0.0.0.0', 15006)}
${explicit ? '' : originalDst}  filter_chains:
  - ${explicit ? '' : `filter_chain_match: { destination_port: ${pod.appPort} }\n    `}filters:
${connectionManager('    ', `inbound_${pod.servicePort}`, routes, log, false)}`
}

function indentLines(text: string, indent: string): string {
  return text
    .split('\n')
    .map(line => (line === '' ? line : indent + line))
    .join('\n')
}
