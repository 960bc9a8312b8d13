import type { HeaderBlock } from '../codec/header-block.ts'
import type { NodeInfo } from '../config/services.ts'
import type { TlsInfo } from '../io/connection.ts'
import type { FormatContext } from './format-context.ts'

/**
 * Attributes of requests and connections for expressions (Envoy: docs "Attributes"). Undefined = there is no such attribute, or it has no
 * value now. Texts are Unicode.
 */
export type CelValue = string | number | boolean | null | object | undefined

/** Reads one field of one of the roots below. */
export type AttributeReader = (c: FormatContext, node: NodeInfo) => CelValue

const ROOTS: Readonly<Record<string, Readonly<Record<string, AttributeReader>>>> = {
  request: {
    path: c => text(c.requestHeaders?.path),
    url_path: c => text(c.requestHeaders?.path.split('?')[0]),
    query: c => text(c.requestHeaders === null ? undefined : (c.requestHeaders.path.split('?')[1] ?? '')),
    host: c => text(c.requestHeaders?.authority),
    scheme: c => text(c.requestHeaders?.scheme),
    method: c => text(c.requestHeaders?.method),
    headers: c => headers(c.requestHeaders),
    referer: c => text(c.requestHeaders?.get('referer')),
    useragent: c => text(c.requestHeaders?.get('user-agent')),
    id: c => text(c.requestHeaders?.get('x-request-id')),
    protocol: c => (c.info.protocol === '' ? undefined : c.info.protocol),
    size: c => c.info.bytesReceived,
    total_size: c => c.info.bytesReceived + (c.requestHeaders === null ? 0 : c.requestHeaders.byteSize()),
  },
  response: {
    code: c => (c.info.responseCode === 0 ? undefined : c.info.responseCode),
    code_details: c => (c.info.responseCodeDetails === '' ? undefined : c.info.responseCodeDetails),
    flags: c => c.info.flags,
    headers: c => headers(c.responseHeaders),
    trailers: c => headers(c.responseTrailers),
    size: c => c.info.bytesSent,
    total_size: c => c.info.bytesSent + (c.responseHeaders === null ? 0 : c.responseHeaders.byteSize()),
    grpc_status: c => grpcStatus(c),
  },
  source: {
    address: c => c.info.client?.text ?? c.info.connection?.remote.text,
    port: c => c.info.client?.port ?? c.info.connection?.remote.port,
  },
  destination: {
    address: c => c.info.connection?.local.text,
    port: c => c.info.connection?.local.port,
  },
  connection: {
    id: c => c.info.connection?.id,
    mtls: c => (c.info.connection === null ? undefined : c.info.connection.tls?.peerCertificatePresented === true),
    requested_server_name: c => c.info.connection?.requestedServerName,
    termination_details: c => c.info.connectionTerminationDetails || undefined,
    transport_failure_reason: c => c.info.downstreamTransportFailure || undefined,
    ...tlsFields(c => c.info.connection?.tls),
  },
  upstream: {
    address: c => c.info.upstreamHost || undefined,
    port: c => portOf(c.info.upstreamHost),
    local_address: c => c.info.upstreamLocal || undefined,
    transport_failure_reason: c => c.info.upstreamTransportFailure || undefined,
    request_attempt_count: c => c.info.upstreamAttempts,
    ...tlsFields(c => c.info.upstreamTls),
  },
  xds: {
    cluster_name: c => c.info.upstreamClusterName || undefined,
    cluster_metadata: c => metadata(c.info.clusterMetadata),
    route_name: c => c.info.routeName || undefined,
    route_metadata: c => metadata(c.info.routeMetadata),
    virtual_host_name: c => c.info.virtualHostName || undefined,
    upstream_host_metadata: c => metadata(c.info.hostMetadata),
    listener_metadata: c => metadata(c.info.listenerMetadata),
    filter_chain_name: c => c.info.filterChainName,
    node: (_c, node) => node,
  },
}

/** Roots that are values themselves. */
const WHOLE: Readonly<Record<string, AttributeReader>> = {
  metadata: c => metadata(c.info.dynamicMetadata ?? {}),
  filter_state: c => c.info.filterState ?? {},
  node: (_c, node) => node,
}

/** Null when no such attribute exists: `field` null asks for the root itself. */
export function attributeReader(root: string, field: string | null): AttributeReader | null {
  if (field === null) return Object.hasOwn(WHOLE, root) ? WHOLE[root]! : null
  const fields = Object.hasOwn(ROOTS, root) ? ROOTS[root]! : null
  return fields !== null && Object.hasOwn(fields, field) ? fields[field]! : null
}

function tlsFields(of: (c: FormatContext) => TlsInfo | null | undefined): Record<string, AttributeReader> {
  const field = (read: (tls: TlsInfo) => string | undefined): AttributeReader => {
    return c => {
      const tls = of(c)
      return tls === null || tls === undefined ? undefined : read(tls) || undefined
    }
  }
  return {
    tls_version: field(tls => tls.version),
    subject_local_certificate: field(tls => tls.localSubject),
    subject_peer_certificate: field(tls => tls.peerSubject),
    dns_san_local_certificate: field(tls => tls.localDnsSans[0]),
    dns_san_peer_certificate: field(tls => tls.peerDnsSans[0]),
    uri_san_local_certificate: field(tls => tls.localUriSans[0]),
    uri_san_peer_certificate: field(tls => tls.peerUriSans[0]),
    sha256_peer_certificate_digest: field(tls => tls.peerSha256),
  }
}

/** `grpc-status` of trailers or head. */
function grpcStatus(c: FormatContext): number | undefined {
  const status = c.responseTrailers?.get('grpc-status') ?? c.responseHeaders?.get('grpc-status')
  return status !== undefined && /^[0-9]{1,9}$/.test(status) ? Number(status) : undefined
}

function portOf(address: string): number | undefined {
  const colon = address.lastIndexOf(':')
  return colon < 0 ? undefined : Number(address.slice(colon + 1))
}

function metadata(value: object | null): object | undefined {
  return value === null ? undefined : { filter_metadata: value }
}

/** Header values are bytes. */
function text(value: string | undefined): string | undefined {
  if (value === undefined || value === '') return value
  for (let i = 0; i < value.length; i++) {
    if (value.charCodeAt(i) > 127) return Buffer.from(value, 'latin1').toString('utf8')
  }
  return value
}

/** A header block as a map for expressions: names in lower case, repeated values joined. */
export class HeaderMap {
  readonly #block: HeaderBlock

  constructor(block: HeaderBlock) {
    this.#block = block
  }

  get(name: string): string | undefined {
    return text(this.#block.getAll(name.toLowerCase()))
  }

  get size(): number {
    return this.#block.list.length / 2
  }
}

function headers(block: HeaderBlock | null): HeaderMap | undefined {
  return block === null ? undefined : new HeaderMap(block)
}
