import { registeredFactories, registerFactories } from './config/registry.ts'
import { brotliCompression } from './http/compression/brotli.ts'
import { gzipCompression } from './http/compression/gzip.ts'
import { zstdCompression } from './http/compression/zstd.ts'
import { earlyHeaderMutationFactory } from './http/early-header-mutation/header-mutation.ts'
import { compressorFactory } from './http/filters/compressor.ts'
import { corsFactory } from './http/filters/cors.ts'
import { extAuthzFactory } from './http/filters/ext-authz.ts'
import { faultFactory } from './http/filters/fault.ts'
import { grpcStatsFactory } from './http/filters/grpc-stats.ts'
import { istioAlpnFactory } from './http/filters/istio-alpn.ts'
import { istioStatsFactory } from './http/filters/istio-stats.ts'
import { jwtAuthnFactory } from './http/filters/jwt-authn.ts'
import { localRateLimitFactory } from './http/filters/local-ratelimit.ts'
import { peerMetadataFactory } from './http/filters/peer-metadata.ts'
import { rateLimitFactory } from './http/filters/ratelimit.ts'
import { rbacFactory } from './http/filters/rbac.ts'
import { routerFactory } from './http/filters/router.ts'
import { setFilterStateFactory } from './http/filters/set-filter-state.ts'
import { xffDetectionFactory } from './http/original-ip-detection/xff.ts'
import { internalUpstream } from './io/transport-sockets/internal-upstream.ts'
import { downstreamRawBuffer, upstreamRawBuffer } from './io/transport-sockets/raw-buffer.ts'
import { downstreamTcpStats, upstreamTcpStats } from './io/transport-sockets/tcp-stats.ts'
import { downstreamTls, upstreamTls } from './io/transport-sockets/tls.ts'
import { upstreamProxyProtocol } from './io/transport-sockets/upstream-proxy-protocol.ts'
import { httpInspectorFactory } from './listener/filters/http-inspector.ts'
import { originalDstFactory } from './listener/filters/original-dst.ts'
import { originalSrcFactory } from './listener/filters/original-src.ts'
import { proxyProtocolFactory } from './listener/filters/proxy-protocol.ts'
import { tlsInspectorFactory } from './listener/filters/tls-inspector.ts'
import { connectionLimitFactory } from './network/filters/connection-limit.ts'
import { directResponseFactory } from './network/filters/direct-response.ts'
import { echoFactory } from './network/filters/echo.ts'
import { networkExtAuthzFactory } from './network/filters/ext-authz.ts'
import { httpConnectionManagerFactory } from './network/filters/http-connection-manager.ts'
import { networkIstioStatsFactory } from './network/filters/istio-stats.ts'
import { networkLocalRateLimitFactory } from './network/filters/local-ratelimit.ts'
import { metadataExchangeFactory } from './network/filters/metadata-exchange.ts'
import { networkPeerMetadataFactory } from './network/filters/peer-metadata.ts'
import { networkRateLimitFactory } from './network/filters/ratelimit.ts'
import { networkRbacFactory } from './network/filters/rbac.ts'
import { networkSetFilterStateFactory } from './network/filters/set-filter-state.ts'
import { tcpProxyFactory } from './network/filters/tcp-proxy.ts'
import { fileAccessLog } from './telemetry/access-loggers/file.ts'
import { httpGrpcAccessLog } from './telemetry/access-loggers/http-grpc.ts'
import { openTelemetryAccessLog } from './telemetry/access-loggers/open-telemetry.ts'
import { stderrAccessLog } from './telemetry/access-loggers/stderr.ts'
import { stdoutAccessLog } from './telemetry/access-loggers/stdout.ts'
import { tcpGrpcAccessLog } from './telemetry/access-loggers/tcp-grpc.ts'
import { dogStatsdFactory } from './telemetry/stats-sinks/dog-statsd.ts'
import { graphiteStatsdFactory } from './telemetry/stats-sinks/graphite-statsd.ts'
import { metricsServiceFactory } from './telemetry/stats-sinks/metrics-service.ts'
import { openTelemetrySinkFactory } from './telemetry/stats-sinks/open-telemetry.ts'
import { statsdFactory } from './telemetry/stats-sinks/statsd.ts'
import { openTelemetryFactory } from './telemetry/tracers/opentelemetry.ts'
import { zipkinFactory } from './telemetry/tracers/zipkin.ts'
import { upstreamMetadataExchangeFactory } from './upstream/filters/metadata-exchange.ts'
import { upstreamPeerMetadataFactory } from './upstream/filters/peer-metadata.ts'

/** Every extension of the proxy, and the only list of them. Main parses with these, workers create from them. */
const EXTENSIONS = [
  httpConnectionManagerFactory,
  tcpProxyFactory,
  echoFactory,
  directResponseFactory,
  connectionLimitFactory,
  networkRateLimitFactory,
  networkRbacFactory,
  networkExtAuthzFactory,
  networkSetFilterStateFactory,
  networkLocalRateLimitFactory,
  metadataExchangeFactory,
  networkPeerMetadataFactory,
  networkIstioStatsFactory,
  routerFactory,
  corsFactory,
  extAuthzFactory,
  faultFactory,
  compressorFactory,
  gzipCompression,
  brotliCompression,
  zstdCompression,
  grpcStatsFactory,
  istioAlpnFactory,
  istioStatsFactory,
  jwtAuthnFactory,
  localRateLimitFactory,
  peerMetadataFactory,
  rateLimitFactory,
  rbacFactory,
  setFilterStateFactory,
  xffDetectionFactory,
  earlyHeaderMutationFactory,
  downstreamRawBuffer,
  upstreamRawBuffer,
  downstreamTls,
  upstreamTls,
  internalUpstream,
  upstreamProxyProtocol,
  downstreamTcpStats,
  upstreamTcpStats,
  upstreamMetadataExchangeFactory,
  upstreamPeerMetadataFactory,
  fileAccessLog,
  openTelemetryAccessLog,
  httpGrpcAccessLog,
  tcpGrpcAccessLog,
  stdoutAccessLog,
  stderrAccessLog,
  zipkinFactory,
  openTelemetryFactory,
  statsdFactory,
  dogStatsdFactory,
  graphiteStatsdFactory,
  metricsServiceFactory,
  openTelemetrySinkFactory,
  httpInspectorFactory,
  originalDstFactory,
  originalSrcFactory,
  proxyProtocolFactory,
  tlsInspectorFactory,
]

/** Once per thread; calling it again does nothing. */
export function registerExtensions(): void {
  if (registeredFactories().length === 0) registerFactories(EXTENSIONS as never)
}
