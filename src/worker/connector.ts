import { findFactory } from '../config/registry.ts'
import type { WorkerServices } from '../config/services.ts'
import type { ConnectOptions, TlsDriver } from '../io/connect-options.ts'
import type { Address, Connection, ConnectionHandler } from '../io/connection.ts'
import { InternalStream } from '../io/internal-stream.ts'
import { connect } from '../io/socket-connection.ts'
import type { SocketLoop } from '../io/socket-loop.ts'
import {
  INTERNAL_UPSTREAM,
  type InternalUpstreamConfig,
  type PassthroughSource,
} from '../io/transport-sockets/internal-upstream.ts'
import { layerConfig } from '../io/transport-sockets/layers.ts'
import { ProxyHeaderWriter } from '../io/transport-sockets/proxy-header-writer.ts'
import { type TcpStats, tcpStatsOf } from '../io/transport-sockets/tcp-stats.ts'
import type { ClientTransport } from '../io/transport-sockets/tls.ts'
import type { ClientTls } from '../io/transport-sockets/tls-client.ts'
import {
  TOO_LONG_TLVS,
  UPSTREAM_PROXY_PROTOCOL,
  type UpstreamProxyProtocolConfig,
} from '../io/transport-sockets/upstream-proxy-protocol.ts'
import type { Counter, StatsScope } from '../stats/stats.ts'
import type { TransportSocketConfig } from '../upstream/cluster-config.ts'
import type { Connector, UpstreamConnectOptions } from '../upstream/connector.ts'
import { type PassedThrough, receivePassedThrough } from '../upstream/passthrough.ts'

/** Where clusters find the internal listeners of their worker. */
export interface InternalListeners {
  /** Bytes that wait for either side of a connection before the other one is held. */
  readonly bufferLimit: number
  /** Null = there is none of this name. */
  find(name: string): InternalListener | null
}

export interface InternalListener {
  onInternal(stream: InternalStream, passed: PassedThrough | null): void
}

interface Transport {
  readonly tls: ClientTls | null
  /** What internal listeners are told; null = nothing. */
  readonly passing: Passing | null
  /** Of PROXY headers; null = there are none. */
  readonly heading: Heading | null
  readonly tcpStats: TcpStats | null
}

interface Heading {
  readonly config: UpstreamProxyProtocolConfig
  readonly tooLong: Counter
}

interface Passing {
  readonly sources: readonly PassthroughSource[]
  readonly missing: Counter
}

/** Upstream connections of a worker: sockets of `io/`, TLS by what the cluster's transport socket says. */
export class WorkerConnector implements Connector {
  readonly #loop: SocketLoop
  readonly #services: WorkerServices
  /** By the stats of whoever connects, and by identity of what he has configured: they live as long as he does. */
  readonly #transports = new WeakMap<StatsScope, Map<TransportSocketConfig, Transport>>()
  readonly #options = new WeakMap<UpstreamConnectOptions, ConnectOptions>()

  readonly #internal: InternalListeners

  constructor(loop: SocketLoop, services: WorkerServices, internal: InternalListeners) {
    this.#loop = loop
    this.#services = services
    this.#internal = internal
  }

  connect(address: Address, options: UpstreamConnectOptions, handler: ConnectionHandler): Connection {
    const made = this.#optionsOf(options, address)
    const connection =
      address.internal === undefined
        ? connect(this.#loop, address, made, handler)
        : this.#connectInternal(address, address.internal.listener, options, made, handler)
    if (options.shared !== null) receivePassedThrough(connection, { metadata: null, state: options.shared })
    const keepalive = options.tcpKeepalive
    if (keepalive !== null) connection.setKeepAlive(keepalive.probes, keepalive.time, keepalive.interval)
    return connection
  }

  #connectInternal(
    address: Address,
    name: string,
    options: UpstreamConnectOptions,
    made: ConnectOptions,
    handler: ConnectionHandler,
  ): Connection {
    const listener = this.#internal.find(name)
    if (listener === null)
      return connect(this.#loop, address, made, handler, InternalStream.refused(this.#loop, address))
    const [client, server] = InternalStream.pair(this.#loop, address, this.#internal.bufferLimit)
    const { passing } = this.#transport(options)
    // Not from within: what the listener does may lead here again.
    setImmediate(acceptLater, listener, server, passing === null ? null : passedThrough(passing, options))
    return connect(this.#loop, address, made, handler, client)
  }

  /** One object per pool, made at its first connection. */
  #optionsOf(options: UpstreamConnectOptions, to: Address): ConnectOptions {
    let made = this.#options.get(options)
    if (made === undefined) {
      const { tls, heading, tcpStats } = this.#transport(options)
      made = {
        connectTimeout: options.connectTimeout,
        bufferLimit: options.bufferLimit,
        source: sourceFor(to, options),
        original: options.original,
        tls: tls === null ? null : driverFor(tls, options),
        preamble: heading === null ? null : new ProxyHeaderWriter(heading.config, options.proxied, heading.tooLong),
        watches: tcpStats,
      }
      this.#options.set(options, made)
    }
    return made
  }

  #transport({ stats, transportSocket: config }: UpstreamConnectOptions): Transport {
    let known = this.#transports.get(stats)
    if (known === undefined) {
      known = new Map()
      this.#transports.set(stats, known)
    }
    let made = known.get(config)
    if (made === undefined) {
      const factory = findFactory('envoy.transport_sockets.upstream', config.typeUrl)
      const create = factory?.create(config.config as never, this.#services) as ClientTransport | undefined
      made = {
        tls: create === undefined ? null : create(stats),
        passing: passingOf(config, stats),
        heading: headingOf(config, stats),
        tcpStats: tcpStatsOf(config, stats, this.#services.timers),
      }
      known.set(config, made)
    }
    return made
  }
}

/**
 * What the codec speaks is only offered when the TLS context names no protocols itself (applicationProtocolFallback), a filter's list
 * always is (applicationProtocolListOverride).
 */
function driverFor(tls: ClientTls, options: UpstreamConnectOptions): TlsDriver {
  const fallback = tls.config.alpn.length > 0 || options.alpn.length === 0 ? null : options.alpn
  const alpn = options.alpnOverrides ? options.alpn : fallback
  return tls.driver(options.hostname, options.serverName, alpn, options.verifyName)
}

function acceptLater(listener: InternalListener, stream: InternalStream, passed: PassedThrough | null): void {
  listener.onInternal(stream, passed)
}

function headingOf(socket: TransportSocketConfig, scope: StatsScope): Heading | null {
  const config = layerConfig<UpstreamProxyProtocolConfig>(socket, UPSTREAM_PROXY_PROTOCOL)
  return config === undefined ? null : { config, tooLong: scope.counter(TOO_LONG_TLVS) }
}

function passingOf(socket: TransportSocketConfig, scope: StatsScope): Passing | null {
  const config = layerConfig<InternalUpstreamConfig>(socket, INTERNAL_UPSTREAM)
  if (config === undefined) return null
  const missing = scope.counter('internal_upstream.no_metadata')
  return { sources: config.metadata, missing }
}

function passedThrough({ sources, missing }: Passing, { host, shared }: UpstreamConnectOptions): PassedThrough {
  const metadata: Record<string, Readonly<Record<string, unknown>>> = {}
  for (const { kind, name } of sources) {
    const from = kind === 'host' ? host?.metadata : host?.cluster.metadata
    const fields = from?.[name]
    if (fields === undefined) missing.inc()
    // A later source of the same namespace adds to it.
    else metadata[name] = { ...metadata[name], ...(fields as object) }
  }
  return { metadata, state: shared }
}

/** The source address of the target's family; pools are per host, so the choice holds for all its connections. */
function sourceFor(to: Address, options: UpstreamConnectOptions): Address | null {
  const bind = options.bind
  if (bind === null || bind.address === null || to.internal !== undefined) return null
  if (to.ip.includes(':') === bind.address.ip.includes(':')) return bind.address
  return bind.extraAddress
}
