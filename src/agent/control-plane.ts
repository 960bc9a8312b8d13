import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Registry } from 'prom-client'
import { WireReader } from '../config/wire-reader.ts'
import { take, text } from '../xds/discovery-wire.ts'
import { AgentError } from './agent-error.ts'
import { proxyDomain } from './dns/lookup.ts'
import { dnsMetrics } from './dns/metrics.ts'
import { decodeNameTable } from './dns/name-table.ts'
import { readResolvConf } from './dns/resolv-conf.ts'
import { DnsServer } from './dns/server.ts'
import type { DnsEndpoint } from './dns/upstream.ts'
import { boolFrom } from './go-bool.ts'
import { durationFrom } from './go-duration.ts'
import { Logger, log } from './log.ts'
import type { Env, NodeIdentity } from './node-identity.ts'
import type { ProxyConfig } from './proxy-config.ts'
import type { Readiness } from './readiness.ts'
import { wasmMetrics } from './wasm/metrics.ts'
import { ModuleCache } from './wasm/module-cache.ts'
import { wasmOptionsOf } from './wasm/options.ts'
import { WorkloadHealthChecker } from './workload-health.ts'
import { relayMetrics } from './xds-relay/metrics.ts'
import { XdsRelay } from './xds-relay/relay.ts'
import type { ResourceHandler } from './xds-relay/stream.ts'
import { upstreamOf } from './xds-relay/upstream.ts'

export interface ControlPlaneOptions {
  readonly env: Env
  readonly config: ProxyConfig
  readonly node: NodeIdentity
  readonly registry: Registry
  /** Readiness of the proxy alone: part of the health that is reported. */
  readonly proxyReady: Readiness
  readonly updateTrustBundle: (pems: readonly string[]) => void
}

/** What joins the pod to istiod, while the agent runs. */
export interface ControlPlane {
  /** null: not enabled. */
  readonly dns: DnsServer | null
  close(): void
}

const NAME_TABLE = 'type.googleapis.com/istio.networking.nds.v1.NameTable'
const PROXY_CONFIG = 'type.googleapis.com/istio.mesh.v1alpha1.ProxyConfig'
/** constants.IstioDataDir: a volume of the pod that the proxy's container has too. */
const DATA_FOLDER = '/var/lib/istio/data'
/** Of a VM whose own resolv.conf leads to this agent. */
const SAVED_RESOLV_CONF = '/var/lib/istio/resolv.conf'

/** Starts the DNS proxy, if it is enabled, and the xDS relay. Rejects with AgentError for what cannot work. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { env, config, registry } = options
  const upstream = upstreamOf(config, env)
  const wasm = boolFrom(env, 'ISTIO_AGENT_ENABLE_WASM_REMOTE_LOAD_CONVERSION', true)
    ? ModuleCache.open(DATA_FOLDER, wasmOptionsOf(env), env, wasmMetrics(registry))
    : null
  const dns = dnsEnabled(options) ? await startDns(options) : null
  const relay = new XdsRelay({
    path: join(config.configPath, 'XDS'),
    upstream,
    handlers: handlers(options, dns),
    wasm,
    metrics: relayMetrics(registry),
  })
  const checker = WorkloadHealthChecker.from(config.raw.readinessProbe, options)
  try {
    await relay.listen()
  } catch (error) {
    wasm?.close()
    dns?.close()
    throw error
  }
  checker?.start(unhealthy => relay.setHealth({ unhealthy }))
  return {
    dns,
    close: () => {
      checker?.close()
      relay.close()
      wasm?.close()
      dns?.close()
    },
  }
}

function handlers(options: ControlPlaneOptions, dns: DnsServer | null): ReadonlyMap<string, ResourceHandler> {
  const all = new Map<string, ResourceHandler>()
  if (dns !== null) all.set(NAME_TABLE, bytes => dns.update(decodeNameTable(bytes)))
  if (boolFrom(options.env, 'PROXY_CONFIG_XDS_AGENT')) {
    all.set(PROXY_CONFIG, bytes => options.updateTrustBundle(caCertificates(bytes)))
  }
  return all
}

/** istio.mesh.v1alpha1.ProxyConfig {ca_certificates_pem = 34}: all that the agent follows of it. */
function caCertificates(bytes: Uint8Array): string[] {
  const reader = new WireReader(bytes)
  const pems: string[] = []
  while (reader.at < reader.end) {
    const tag = reader.uint32()
    if (tag === ((34 << 3) | 2)) pems.push(text(take(reader)))
    else reader.skip(tag & 7)
  }
  return pems
}

function dnsEnabled({ env, node }: ControlPlaneOptions): boolean {
  return (
    (boolFrom(env, 'ISTIO_META_DNS_CAPTURE') && node.type === 'sidecar') ||
    boolFrom(env, 'ISTIO_META_ENABLE_DNS_SERVER')
  )
}

async function startDns({ env, node, registry }: ControlPlaneOptions): Promise<DnsServer> {
  const configured = env.DNS_PROXY_ADDR || 'localhost:15053'
  const standsIn = configured.endsWith(':53')
  const isRoot = process.getuid?.() === 0
  if (standsIn && !isRoot) new Logger('dns').error('DNS address :53 and not running as root, use default')
  const address = standsIn && !isRoot ? 'localhost:15053' : configured
  const path = standsIn && isRoot && existsSync(SAVED_RESOLV_CONF) ? SAVED_RESOLV_CONF : '/etc/resolv.conf'
  const { servers, search } = readResolvConf(path)
  if (servers.length === 0) log.warn(`${path} names no server: names outside of the mesh will not resolve`)
  const namespace = env.POD_NAMESPACE ?? ''
  const server = new DnsServer({
    addresses: listenAddresses(address, servers),
    scope: { namespace, domain: proxyDomain(node.domain, namespace), search },
    servers: servers.map(host => ({ host, port: 53 })),
    parallel: boolFrom(env, 'DNS_FORWARD_PARALLEL'),
    timeoutMs: durationFrom(env, 'DNS_FORWARD_TIMEOUT', 5000),
    respondBeforeSync: standsIn && isRoot,
    metrics: dnsMetrics(registry),
  })
  await server.listen()
  return server
}

/** `localhost` is 127.0.0.1, ::1 or both, after what the pod's name servers are: those are what the rules redirect. */
function listenAddresses(address: string, servers: readonly string[]): DnsEndpoint[] {
  const colon = address.lastIndexOf(':')
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, '$1')
  const port = Number(address.slice(colon + 1))
  if (colon < 0 || !Number.isInteger(port) || port < 0 || port > 65535) {
    throw new AgentError(`DNS_PROXY_ADDR=${address}: dns address must be a valid host:port`)
  }
  if (host !== 'localhost') return [{ host: host === '' ? '::' : host, port }]
  const v6 = servers.some(server => server.includes(':'))
  const v4 = servers.length === 0 || servers.some(server => !server.includes(':'))
  return [...(v4 ? [{ host: '127.0.0.1', port }] : []), ...(v6 ? [{ host: '::1', port }] : [])]
}
