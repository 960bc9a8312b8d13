import type { envoy } from '../../config/gen/messages.d.ts'
import type { ExtensionFactory } from '../../config/registry.ts'
import type { WorkerServices } from '../../config/services.ts'
import type { StatsScope } from '../../stats/stats.ts'
import { ClientTls } from './tls-client.ts'
import { type DownstreamTlsConfig, parseDownstreamTls, parseUpstreamTls, type UpstreamTlsConfig } from './tls-config.ts'
import { ServerTls } from './tls-server.ts'

/** What `create` of a downstream transport socket gives: made once per filter chain (`owner`) with the scope of its listener. */
export type ServerTransport = (scope: StatsScope, owner: string) => ServerTls | null
/** Upstream: made once per cluster (or transport_socket_match) with the scope of the cluster. Null = plain TCP. */
export type ClientTransport = (scope: StatsScope) => ClientTls | null

type Downstream = envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
type Upstream = envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext

export const downstreamTls: ExtensionFactory<Downstream, DownstreamTlsConfig, unknown, ServerTransport> = {
  category: 'envoy.transport_sockets.downstream',
  name: 'envoy.transport_sockets.tls',
  typeUrls: ['envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext'],
  parse: parseDownstreamTls,
  create: (config: DownstreamTlsConfig, services: WorkerServices) => (scope, owner) =>
    new ServerTls(config, scope, services, owner),
}

export const upstreamTls: ExtensionFactory<Upstream, UpstreamTlsConfig, unknown, ClientTransport> = {
  category: 'envoy.transport_sockets.upstream',
  name: 'envoy.transport_sockets.tls',
  typeUrls: ['envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext'],
  parse: parseUpstreamTls,
  create: (config: UpstreamTlsConfig, services: WorkerServices) => scope => new ClientTls(config, scope, services),
}
