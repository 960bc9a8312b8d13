import { X509Certificate } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import type { checkServerIdentity } from 'node:tls'
import type { ChannelCredentials, ClientDuplexStream } from '@grpc/grpc-js'
import { lazyTls } from '../../base/lazy-modules.ts'
import { AgentError } from '../agent-error.ts'
import { boolFrom } from '../go-bool.ts'
import { durationFrom } from '../go-duration.ts'
import { loadedGrpc } from '../grpc.ts'
import { readToken } from '../identity/token.ts'
import { log } from '../log.ts'
import type { Env } from '../node-identity.ts'
import type { ProxyConfig } from '../proxy-config.ts'

/** A certificate the agent shows to istiod, PEM; null: the token alone says who it is. */
export type ClientCertificate = { readonly chain: Buffer; readonly key: Buffer } | null

/** Where istiod is and how it is reached. Files are read anew for every stream, so that they may be replaced at any time. */
export interface Upstream {
  /** As configured, for the log. */
  readonly address: string
  /** For gRPC: `host:port` or `unix:/path`. */
  readonly target: string
  readonly tls: UpstreamTls | null
  /** Besides the token; names in lower case. */
  readonly headers: readonly (readonly [string, string])[]
  readonly keepaliveMs: number
  readonly keepaliveTimeoutMs: number
}

interface UpstreamTls {
  /** null: the roots of the system. */
  readonly rootPath: string | null
  /** Name or IP address that the certificate of istiod must have. */
  readonly serverName: string
  readonly certificate: () => ClientCertificate
}

export interface UpstreamCall {
  readonly call: ClientDuplexStream<Buffer, Buffer>
  /** Told once the connection is up; never when it does not come to that. */
  onConnected(told: () => void): void
  close(): void
}

const CONFIG_MAP_ROOT = './var/run/secrets/istio/root-cert.pem'
const MOUNTED_ROOT = './etc/certs/root-cert.pem'
/** As Istio's agent: pushes are large, and a window of 64 KiB costs a round trip for each. */
const WINDOW = 1 << 20

/** Throws AgentError when istiod cannot be reached as configured. */
export function upstreamOf(config: ProxyConfig, env: Env): Upstream {
  const address = config.discoveryAddress
  const isPipe = address.startsWith('unix:')
  const host = isPipe ? '' : hostOf(address)
  const headers = [['clusterid', env.ISTIO_META_CLUSTER_ID ?? ''] as const]
  const extra = Object.entries(env).flatMap(([name, value]) =>
    name.startsWith('XDS_HEADER_') && value !== undefined
      ? [[name.slice('XDS_HEADER_'.length).toLowerCase(), value] as const]
      : [],
  )
  const plain = isPipe || config.controlPlaneAuthPolicy === 'NONE'
  return {
    address,
    target: isPipe ? `unix:${address.replace(/^unix:(\/\/)?/, '')}` : address,
    tls: plain ? null : tlsOf(host, config, env),
    headers: [...headers, ...extra],
    keepaliveMs: durationFrom(env, 'GRPC_KEEPALIVE_INTERVAL', 30_000),
    keepaliveTimeoutMs: durationFrom(env, 'GRPC_KEEPALIVE_TIMEOUT', 10_000),
  }
}

/** One stream on a connection of its own, for the service of gRPC that has loaded it. Throws Error when a certificate cannot be used. */
export function openStream(upstream: Upstream, method: string): UpstreamCall {
  const { tls } = upstream
  const { Client, Metadata } = loadedGrpc()
  const client = new Client(upstream.target, channelCredentials(tls), {
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
    'grpc.keepalive_time_ms': upstream.keepaliveMs,
    'grpc.keepalive_timeout_ms': upstream.keepaliveTimeoutMs,
    'grpc-node.flow_control_window': WINDOW,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_retries': 0,
    ...(tls === null ? {} : nameOptions(tls.serverName)),
  })
  const metadata = new Metadata()
  for (const [name, value] of upstream.headers) metadata.set(name, value)
  const token = readToken()
  if (token !== '') metadata.set('authorization', `Bearer ${token}`)
  const call = client.makeBidiStreamRequest<Buffer, Buffer>(method, identity, identity, metadata)
  return {
    call,
    onConnected: told => {
      // The call itself has the deadline; this ends with the channel.
      client.waitForReady(Number.POSITIVE_INFINITY, error => {
        if (error === undefined) told()
      })
    },
    close: () => {
      call.cancel()
      client.close()
    },
  }
}

/** Where the roots for istiod are, by Istio's rules; null for the system's. Throws AgentError when there are none. */
function xdsRootPath(config: ProxyConfig, env: Env): string | null {
  const configured = env.XDS_ROOT_CA ?? ''
  if (configured === 'SYSTEM') return null
  if (configured === '' && existsSync(MOUNTED_ROOT)) return MOUNTED_ROOT
  // Of a virtual machine: may be filled later.
  if (configured === '' && (env.PROV_CERT ?? '') !== '') return `${env.PROV_CERT}/root-cert.pem`
  const path =
    configured !== ''
      ? configured
      : boolFrom(env, 'FILE_MOUNTED_CERTS')
        ? (config.proxyMetadata.ISTIO_META_TLS_CLIENT_ROOT_CERT ?? '')
        : CONFIG_MAP_ROOT
  if (configured === '' && !boolFrom(env, 'FILE_MOUNTED_CERTS') && env.PILOT_CERT_PROVIDER === 'none') {
    throw new AgentError(
      'failed to find root CA cert for XDS: root CA file for XDS required but configured provider as none',
    )
  }
  if (!existsSync(path)) {
    throw new AgentError(
      `failed to find root CA cert for XDS: root CA file for XDS does not exist ${path}; for a control plane in the clear (istiod: port 15010) set controlPlaneAuthPolicy: NONE in PROXY_CONFIG`,
    )
  }
  return path
}

function tlsOf(host: string, config: ProxyConfig, env: Env): UpstreamTls {
  // With a port forwarded to istiod its certificate still has its name in the cluster.
  const named = host.includes('localhost') ? 'istiod.istio-system.svc' : host
  const provisioned = env.PROV_CERT ?? ''
  const { proxyMetadata } = config
  const [key = '', chain = ''] =
    provisioned !== ''
      ? [`${provisioned}/key.pem`, `${provisioned}/cert-chain.pem`]
      : boolFrom(env, 'FILE_MOUNTED_CERTS')
        ? [proxyMetadata.ISTIO_META_TLS_CLIENT_KEY, proxyMetadata.ISTIO_META_TLS_CLIENT_CERT_CHAIN]
        : []
  return {
    rootPath: xdsRootPath(config, env),
    serverName: env.ISTIOD_SAN || named,
    certificate: () => (key === '' || chain === '' ? null : readCertificate(chain, key)),
  }
}

function channelCredentials(tls: UpstreamTls | null): ChannelCredentials {
  const { credentials } = loadedGrpc()
  if (tls === null) return credentials.createInsecure()
  const roots = tls.rootPath === null ? null : readFileSync(tls.rootPath)
  const own = tls.certificate()
  const { serverName } = tls
  // An IP address is no server name indication (RFC 6066 §3), but the certificate has to have it.
  const options = isIP(serverName) === 0 ? {} : { checkServerIdentity: checkIp(serverName) }
  return credentials.createSsl(roots, own?.key ?? null, own?.chain ?? null, options)
}

function checkIp(ip: string): typeof checkServerIdentity {
  return (_name, certificate) => lazyTls().checkServerIdentity(ip, certificate)
}

function nameOptions(serverName: string): Record<string, string> {
  return isIP(serverName) === 0
    ? { 'grpc.ssl_target_name_override': serverName, 'grpc.default_authority': serverName }
    : { 'grpc.ssl_target_name_override': 'istiod.istio-system.svc' }
}

/** null, with a warning, when it cannot be read or has expired: then the token has to do. */
function readCertificate(chainPath: string, keyPath: string): ClientCertificate {
  try {
    const chain = readFileSync(chainPath)
    if (new X509Certificate(chain).validToDate.getTime() > Date.now()) return { chain, key: readFileSync(keyPath) }
    log.warn('cert expired, using token instead')
  } catch (error) {
    log.warn(`cannot parse the cert chain, using token instead: ${(error as Error).message}`)
  }
  return null
}

function hostOf(address: string): string {
  const colon = address.lastIndexOf(':')
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, '$1')
  const port = Number(address.slice(colon + 1))
  if (colon < 1 || host === '' || !Number.isInteger(port) || port < 1 || port > 65535) {
    throw new AgentError(`discoveryAddress: "${address}" is not host:port or unix:///path`)
  }
  return host
}

function identity(bytes: Buffer): Buffer {
  return bytes
}
