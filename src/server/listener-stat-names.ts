import { findFactory, type ParsedExtension } from '../config/registry.ts'
import type { HcmConfig } from '../http/connection-manager-config.ts'
import { transportLayers } from '../io/transport-sockets/layers.ts'
import type { ListenerConfig } from '../listener/listener-config.ts'
import type { ConnectionLimitConfig } from '../network/filters/connection-limit.ts'
import type { TcpProxyConfig } from '../network/tcp-proxy-config.ts'
import type { StatsStore } from '../stats/store.ts'
import type { AccessLogConfig } from '../telemetry/access-loggers/access-log-config.ts'
import { ALS_STATS_PREFIX } from '../telemetry/access-loggers/grpc/log-stream.ts'
import type { OpenTelemetryConfig } from '../telemetry/access-loggers/open-telemetry/config.ts'
import { declareRouteStats } from './route-stat-names.ts'
import {
  CONNECTION_LIMIT_STATS,
  DOWNSTREAM_TRANSPORT_STATS,
  GRPC_LOG_STATS,
  HTTP_STATS,
  LISTENER_HTTP_STATS,
  LISTENER_STATS,
  LISTENER_WORKER_STATS,
  SENT_LOG_STATS,
  TCP_STATS,
  TRACER_STATS,
} from './stat-names.ts'

/** What a listener and its network filters have at zero from the moment that it is configured. */
export function declareListenerStats(store: StatsStore, config: ListenerConfig, concurrency: number): void {
  const prefix = `listener.${config.statAddress}.`
  store.declare(prefix, LISTENER_STATS)
  declareAccessLogStats(store, config.accessLogs)
  for (let i = 0; i < concurrency; i++) store.declare(`${prefix}worker_${i}.`, LISTENER_WORKER_STATS)
  for (const chain of [...config.filterChains, config.defaultFilterChain]) {
    if (chain === null) continue
    for (const { typeUrl } of chain.transportSocket === null ? [] : transportLayers(chain.transportSocket)) {
      const template = DOWNSTREAM_TRANSPORT_STATS.get(typeUrl)
      if (template !== undefined) store.declare(prefix, template)
    }
    for (const filter of chain.filters) declareFilterStats(store, prefix, filter)
  }
}

function declareFilterStats(store: StatsStore, listener: string, filter: ParsedExtension): void {
  const { typeUrl, config } = filter
  const named = store.declaring()
  findFactory(filter.category, typeUrl)?.declareStats?.(config as never, named, '')
  switch (typeUrl.slice(typeUrl.lastIndexOf('.') + 1)) {
    case 'HttpConnectionManager': {
      const { statPrefix, routeConfig, accessLogs, tracing, filters, upgrades } = config as HcmConfig
      for (const f of [...filters, ...upgrades.flatMap(upgrade => upgrade.filters ?? [])]) {
        findFactory('envoy.filters.http', f.factory)?.declareStats?.(f.config as never, named, `http.${statPrefix}.`)
      }
      declareAccessLogStats(store, accessLogs)
      store.declare(`http.${statPrefix}.`, HTTP_STATS)
      store.declare(`${listener}http.${statPrefix}.`, LISTENER_HTTP_STATS)
      if (routeConfig !== null) declareRouteStats(store, routeConfig)
      const tracer = tracing?.provider?.typeUrl ?? ''
      if (Object.hasOwn(TRACER_STATS, tracer)) store.declare('', TRACER_STATS[tracer]!)
      return
    }
    case 'TcpProxy': {
      const { statPrefix, accessLogs } = config as TcpProxyConfig
      declareAccessLogStats(store, accessLogs)
      store.declare(`tcp.${statPrefix}.`, TCP_STATS)
      return
    }
    case 'ConnectionLimit':
      store.declare(`connection_limit.${(config as ConnectionLimitConfig).statPrefix}.`, CONNECTION_LIMIT_STATS)
  }
}

function declareAccessLogStats(store: StatsStore, logs: readonly AccessLogConfig[]): void {
  for (const { logger } of logs) {
    if (logger.typeUrl.endsWith('.OpenTelemetryAccessLogConfig')) {
      const { statsPrefix, transport } = logger.config as OpenTelemetryConfig
      store.declare(statsPrefix, SENT_LOG_STATS)
      if (transport.kind === 'grpc') store.declare(statsPrefix, GRPC_LOG_STATS)
    } else if (logger.typeUrl.startsWith('envoy.extensions.access_loggers.grpc.')) {
      store.declare(ALS_STATS_PREFIX, SENT_LOG_STATS)
      store.declare(ALS_STATS_PREFIX, GRPC_LOG_STATS)
    }
  }
}
