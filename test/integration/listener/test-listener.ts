import net from 'node:net'
import { TimerWheel } from '../../../src/base/timer-wheel.ts'
import type { ParsedExtension } from '../../../src/config/registry.ts'
import { registerFactories } from '../../../src/config/registry.ts'
import { ipAddress } from '../../../src/io/address.ts'
import { CloseHow, type Connection } from '../../../src/io/connection.ts'
import { openListenSocket, PLAIN_SOCKET } from '../../../src/io/listen-socket.ts'
import { SocketLoop } from '../../../src/io/socket-loop.ts'
import { downstreamTls } from '../../../src/io/transport-sockets/tls.ts'
import type { FilterChainMatchConfig } from '../../../src/listener/filter-chain-match.ts'
import { httpInspectorFactory } from '../../../src/listener/filters/http-inspector.ts'
import { originalDstFactory } from '../../../src/listener/filters/original-dst.ts'
import { proxyProtocolFactory } from '../../../src/listener/filters/proxy-protocol.ts'
import { tlsInspectorFactory } from '../../../src/listener/filters/tls-inspector.ts'
import { type ConnectionLimit, Listener } from '../../../src/listener/listener.ts'
import type { FilterChainConfig, ListenerConfig, ListenerFilterConfig } from '../../../src/listener/listener-config.ts'
import { ListenerDirectory } from '../../../src/listener/listener-directory.ts'
import { NetVerdict, type NetworkFilter, type NetworkFilterFactory } from '../../../src/network/filter.ts'
import { echoFactory } from '../../../src/network/filters/echo.ts'
import type { AccessLogger, FormatContext } from '../../../src/telemetry/format-context.ts'
import { type FakeServices, fakeServices } from '../../unit/network/fake-services.ts'

/** Answers with what the listener found out about the connection, then echoes. */
class Reporter implements NetworkFilter {
  onConnection(c: Connection): NetVerdict {
    const chain = (this.label === '' ? [] : [this.label]).concat(c.transportProtocol, c.applicationProtocols.join('+'))
    c.write(`${chain.join(' ')} ${c.requestedServerName} ${c.remote.text} ${c.local.text} ${c.localRestored}\n`)
    return NetVerdict.Continue
  }

  readonly label: string

  constructor(label: string) {
    this.label = label
  }

  onData(c: Connection, d: Uint8Array, end: boolean): NetVerdict {
    if (d.length > 0) c.write(d)
    if (end) c.close(CloseHow.Flush)
    return NetVerdict.Stop
  }

  onClose(): void {}
}

const reporterFactory = {
  category: 'envoy.filters.network',
  name: 'test.reporter',
  typeUrls: ['test.Reporter'],
  parse: () => null,
  create: (label: string): NetworkFilterFactory => ({ newInstance: () => new Reporter(label) }),
}

registerFactories([
  downstreamTls,
  originalDstFactory,
  tlsInspectorFactory,
  httpInspectorFactory,
  proxyProtocolFactory,
  echoFactory,
  reporterFactory,
] as unknown as Parameters<typeof registerFactories>[0])

const ANY: FilterChainMatchConfig = {
  destinationPort: 0,
  prefixRanges: [],
  serverNames: [],
  transportProtocol: '',
  applicationProtocols: [],
  directSourcePrefixRanges: [],
  sourceType: 'ANY',
  sourcePrefixRanges: [],
  sourcePorts: [],
}

export function extension(typeUrl: string, config: unknown): ParsedExtension {
  return { name: typeUrl, category: '', typeUrl, config }
}

export function listenerFilter(name: string, config: unknown = null): ListenerFilterConfig {
  const types: Record<string, string> = {
    tls: 'tls_inspector.v3.TlsInspector',
    http: 'http_inspector.v3.HttpInspector',
    proxy: 'proxy_protocol.v3.ProxyProtocol',
    dst: 'original_dst.v3.OriginalDst',
  }
  return { ...extension(`envoy.extensions.filters.listener.${types[name]}`, config), disabled: null }
}

export const TLS_INSPECTOR = listenerFilter('tls', { maxClientHello: 16384, closeOnErrors: false })

export function chain(
  name: string,
  match: Partial<FilterChainMatchConfig> = {},
  more: Partial<FilterChainConfig> = {},
): FilterChainConfig {
  return {
    name,
    match: { ...ANY, ...match },
    filters: [extension('test.Reporter', name)],
    transportSocket: null,
    transportSocketConnectTimeout: 0,
    metadata: null,
    ...more,
  }
}

export interface World {
  readonly services: FakeServices
  readonly directory: ListenerDirectory
  readonly logged: FormatContext[]
  limit: ConnectionLimit | null
  listener(config: Partial<ListenerConfig>): Promise<{ listener: Listener; port: number; stat(name: string): number }>
  close(): void
}

export function world(services: FakeServices = fakeServices(new TimerWheel())): World {
  const loop = new SocketLoop(services.timers)
  const directory = new ListenerDirectory()
  const logged: FormatContext[] = []
  const logger: AccessLogger = { log: context => void logged.push(context) }
  const all: Listener[] = []
  const self: World = {
    services,
    directory,
    logged,
    limit: null,
    async listener(config) {
      const full: ListenerConfig = {
        name: 'l',
        addresses: [{ address: ipAddress('127.0.0.1', 0), ipv4Compat: false, mode: 0, options: [] }],
        statAddress: 'x',
        bindToPort: true,
        internal: false,
        chainMatcher: null,
        useOriginalDst: false,
        reusePort: true,
        exactBalance: false,
        transparent: false,
        freebind: false,
        fastOpen: 0,
        backlog: 16,
        bufferLimit: 1024 * 1024,
        listenerFilters: [],
        listenerFiltersTimeout: 15_000,
        continueOnTimeout: false,
        filterChains: [chain('c')],
        defaultFilterChain: null,
        modifyOnly: false,
        trafficDirection: 'UNSPECIFIED',
        accessLogs: [],
        ignoreGlobalLimit: false,
        metadata: null,
        ...config,
      }
      const listener = new Listener(structuredClone(full), {
        loop,
        services,
        localAddress: '192.0.2.1',
        findByDestination: address => directory.find(address),
        accessLogger: () => logger,
        connectionLimit: self.limit,
        handOver: () => false,
      })
      all.push(listener)
      directory.add(listener)
      if (full.bindToPort) await listener.listen(full.addresses.map(a => openListenSocket(a.address, PLAIN_SOCKET)))
      const stat = (name: string): number => services.stats.value(`listener.${full.statAddress}.${name}`)
      return { listener, port: listener.boundPorts[0] ?? 0, stat }
    },
    close() {
      for (const listener of all) {
        listener.stop(true)
        listener.closeAll(CloseHow.NoFlush)
      }
    },
  }
  return self
}

/** Sends `text`, half-closes, and gives everything that came back; rejects on a reset. */
export function talk(port: number, text: string | Buffer, host = '127.0.0.1'): Promise<string> {
  return new Promise((resolve, reject) => {
    let got = ''
    const socket = net.connect({ port, host, allowHalfOpen: true }, () => socket.end(text))
    socket.on('data', d => {
      got += d.toString('latin1')
    })
    socket.on('end', () => resolve(got))
    socket.on('error', reject)
  })
}
