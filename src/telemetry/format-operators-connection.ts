import type { Address, Connection, TlsInfo } from '../io/connection.ts'
import type { FormatContext } from './format-context.ts'
import type { OperatorTable } from './format-operators.ts'
import { certificateTime } from './format-operators-time.ts'
import type { FormatReader } from './formatter.ts'

const orNull = (text: string): string | null => (text === '' ? null : text)

/** Readers over the downstream connection. */
function down(read: (connection: Connection, client: Address | null) => string | number | null): () => FormatReader {
  return () => c => (c.info.connection === null ? null : read(c.info.connection, c.info.client))
}

function tls(side: 'down' | 'up', read: (info: TlsInfo) => string | null): () => FormatReader {
  return () => c => {
    const info = side === 'down' ? (c.info.connection?.tls ?? null) : c.info.upstreamTls
    return info === null ? null : read(info)
  }
}

const list = (values: readonly string[]): string | null => (values.length === 0 ? null : values.join(','))

/** `(16)` prints the network: `127.0.0.0/16`; anything that is no prefix length prints the address. */
function withoutPort(args: string, address: (c: FormatContext) => string | null): FormatReader {
  const length = /^[0-9]{1,3}$/.test(args) ? Number(args) : -1
  return c => {
    const ip = address(c)
    return ip === null || length < 0 ? ip : maskAddress(ip, length)
  }
}

/** IPv6 is left whole beyond its own widths. */
export function maskAddress(ip: string, length: number): string {
  if (!/^[0-9.]+$/.test(ip)) return ip.includes(':') && length <= 128 ? `${maskV6(ip, length)}/${length}` : ip
  if (length > 32) return ip
  const parts = ip.split('.')
  for (let i = 0; i < 4; i++) {
    const bits = Math.min(8, Math.max(0, length - i * 8))
    parts[i] = String(Number(parts[i]) & (0xff << (8 - bits)) & 0xff)
  }
  return `${parts.join('.')}/${length}`
}

function maskV6(ip: string, length: number): string {
  const [head = '', tail] = ip.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const groups =
    tail === undefined ? left : [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right]
  const masked = groups.map((group, i) => {
    const bits = Math.min(16, Math.max(0, length - i * 16))
    return (Number.parseInt(group, 16) & (0xffff << (16 - bits)) & 0xffff).toString(16)
  })
  return masked.join(':').replace(/(?:^|:)0(?::0)+(?::|$)/, '::')
}

/** `client`: who a trusted header says the request came from. */
type AddressOf = (connection: Connection, client: Address | null) => Address

function addresses(prefix: string, of: AddressOf): OperatorTable {
  return {
    [`${prefix}_ADDRESS`]: down((c, client) => of(c, client).text),
    [`${prefix}_ADDRESS_WITHOUT_PORT`]: args =>
      withoutPort(args, c => (c.info.connection === null ? null : of(c.info.connection, c.info.client).ip)),
    [`${prefix}_PORT`]: down((c, client) => {
      const { port, internal } = of(c, client)
      if (port !== 0) return port
      return internal === undefined ? null : ''
    }),
    [`${prefix}_ADDRESS_ENDPOINT_ID`]: down((c, client) => of(c, client).internal?.endpointId ?? ''),
  }
}

const INTERNAL = 'envoy://'

/** `ip:port` texts of the upstream side. */
function ipOf(text: string): string | null {
  if (text === '') return null
  if (text.startsWith(INTERNAL)) return text
  if (text.startsWith('[')) return text.slice(1, text.indexOf(']'))
  const colon = text.lastIndexOf(':')
  return colon < 0 ? text : text.slice(0, colon)
}

function portOf(text: string): number | string | null {
  if (text.startsWith(INTERNAL)) return ''
  const colon = text.lastIndexOf(':')
  const port = colon < 0 ? Number.NaN : Number(text.slice(colon + 1))
  return Number.isInteger(port) ? port : null
}

/** What follows the name of the internal listener. */
function endpointIdOf(text: string): string | null {
  if (text === '') return null
  return text.startsWith(INTERNAL) ? text.slice(text.indexOf('/', INTERNAL.length) + 1) : ''
}

function pem(info: TlsInfo): string | null {
  if (info.peerCertificate === null) return null
  const base64 = Buffer.from(info.peerCertificate)
    .toString('base64')
    .replace(/(.{64})(?=.)/g, '$1\n')
  return encodeURIComponent(`-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`)
}

function tlsOperators(prefix: string, side: 'down' | 'up'): OperatorTable {
  return {
    [`${prefix}_TLS_VERSION`]: tls(side, t => orNull(t.version)),
    [`${prefix}_TLS_CIPHER`]: tls(side, t => orNull(t.cipher)),
    [`${prefix}_TLS_SESSION_ID`]: tls(side, t => orNull(t.sessionId)),
    [`${prefix}_PEER_URI_SAN`]: tls(side, t => list(t.peerUriSans)),
    [`${prefix}_PEER_DNS_SAN`]: tls(side, t => list(t.peerDnsSans)),
    [`${prefix}_PEER_IP_SAN`]: tls(side, t => list(t.peerIpSans)),
    [`${prefix}_PEER_EMAIL_SAN`]: tls(side, t => list(t.peerEmailSans)),
    [`${prefix}_PEER_SUBJECT`]: tls(side, t => orNull(t.peerSubject)),
    [`${prefix}_PEER_ISSUER`]: tls(side, t => orNull(t.peerIssuer)),
    [`${prefix}_PEER_SERIAL`]: tls(side, t => orNull(t.peerSerial)),
    [`${prefix}_PEER_CHAIN_SERIALS`]: tls(side, t => orNull(t.peerSerial)),
    [`${prefix}_PEER_FINGERPRINT_256`]: tls(side, t => orNull(t.peerSha256)),
    [`${prefix}_PEER_FINGERPRINT_1`]: tls(side, t => orNull(t.peerSha1)),
    [`${prefix}_PEER_CHAIN_FINGERPRINTS_256`]: tls(side, t => orNull(t.peerSha256)),
    [`${prefix}_PEER_CHAIN_FINGERPRINTS_1`]: tls(side, t => orNull(t.peerSha1)),
    [`${prefix}_PEER_CERT`]: tls(side, pem),
    [`${prefix}_LOCAL_URI_SAN`]: tls(side, t => list(t.localUriSans)),
    [`${prefix}_LOCAL_DNS_SAN`]: tls(side, t => list(t.localDnsSans)),
    [`${prefix}_LOCAL_IP_SAN`]: tls(side, t => list(t.localIpSans)),
    [`${prefix}_LOCAL_EMAIL_SAN`]: tls(side, t => list(t.localEmailSans)),
    [`${prefix}_LOCAL_SUBJECT`]: tls(side, t => orNull(t.localSubject)),
  }
}

/** SNI_FIRST and HOST_FIRST fall back to the other; ORIG reads x-envoy-original-host. */
function requestedServerName(args: string): FormatReader {
  const [order = 'SNI_ONLY', source = 'ORIG_OR_HOST'] = args === '' ? [] : args.split(':')
  // Envoy knows the name from tls_inspector only: without that filter the handshake alone leaves it empty.
  const sni = (c: FormatContext): string | null => orNull(c.info.connection?.requestedServerName ?? '')
  if (order === 'SNI_ONLY' || order === '') return sni
  const host = (c: FormatContext): string | null => {
    const original = source === 'HOST' ? undefined : c.requestHeaders?.get('x-envoy-original-host')
    return original ?? (source === 'ORIG' ? null : (c.requestHeaders?.get(':authority') ?? null))
  }
  return order === 'SNI_FIRST' ? c => sni(c) ?? host(c) : c => host(c) ?? sni(c)
}

const attempted = (map: (host: string) => string | null): FormatReader => {
  return c => {
    const hosts = c.info.upstreamHostsAttempted
    if (hosts.length === 0) return null
    return hosts.map(host => map(host) ?? '').join(',')
  }
}

/** A host that was chosen but never reached is %UPSTREAM_HOST% and nobody's remote address. */
const remote = (c: FormatContext): string => (c.info.upstreamLocal === '' ? '' : c.info.upstreamHost)

export const CONNECTION_OPERATORS: OperatorTable = {
  ...addresses('DOWNSTREAM_REMOTE', (c, client) => client ?? c.remote),
  ...addresses('DOWNSTREAM_LOCAL', c => c.local),
  ...addresses('DOWNSTREAM_DIRECT_REMOTE', c => c.directRemote),
  ...addresses('DOWNSTREAM_DIRECT_LOCAL', c => c.directLocal),
  ...tlsOperators('DOWNSTREAM', 'down'),
  ...tlsOperators('UPSTREAM', 'up'),
  DOWNSTREAM_PEER_CERT_V_START: certificateTime(c => c.info.connection?.tls?.peerValidFrom ?? 0),
  DOWNSTREAM_PEER_CERT_V_END: certificateTime(c => c.info.connection?.tls?.peerValidTo ?? 0),
  UPSTREAM_PEER_CERT_V_START: certificateTime(c => c.info.upstreamTls?.peerValidFrom ?? 0),
  UPSTREAM_PEER_CERT_V_END: certificateTime(c => c.info.upstreamTls?.peerValidTo ?? 0),
  CONNECTION_ID: () => c => c.info.connection?.id ?? 0,
  DOWNSTREAM_CX_RTT: () => () => 0,
  DOWNSTREAM_DETECTED_CLOSE_TYPE: () => () => 'Normal',
  DOWNSTREAM_TRANSPORT_FAILURE_REASON: () => c =>
    orNull((c.info.downstreamTransportFailure || (c.info.connection?.transportFailure ?? '')).replaceAll(' ', '_')),
  REQUESTED_SERVER_NAME: requestedServerName,
  UPSTREAM_DETECTED_CLOSE_TYPE: () => c => (c.info.upstreamHost === '' ? null : 'Normal'),
  UPSTREAM_CONNECTION_ID: () => c => c.info.upstreamConnectionId,
  UPSTREAM_CONNECTION_IDS_ATTEMPTED: () => c =>
    c.info.upstreamConnectionId === 0 ? null : String(c.info.upstreamConnectionId),
  UPSTREAM_HOST: () => c => orNull(c.info.upstreamHost),
  UPSTREAM_REMOTE_ADDRESS: () => c => orNull(remote(c)),
  UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: args => withoutPort(args, c => ipOf(remote(c))),
  UPSTREAM_REMOTE_PORT: () => c => portOf(remote(c)),
  UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID: () => c => endpointIdOf(remote(c)),
  UPSTREAM_LOCAL_ADDRESS: () => c => orNull(c.info.upstreamLocal),
  UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: args => withoutPort(args, c => ipOf(c.info.upstreamLocal)),
  UPSTREAM_LOCAL_PORT: () => c => portOf(c.info.upstreamLocal),
  UPSTREAM_HOST_NAME: () => c => orNull(c.info.upstreamHostName || c.info.upstreamHost),
  UPSTREAM_HOST_NAME_WITHOUT_PORT: () => c => ipOf(c.info.upstreamHostName || c.info.upstreamHost),
  UPSTREAM_HOSTS_ATTEMPTED: () => attempted(host => host),
  UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT: () => attempted(ipOf),
  UPSTREAM_SERVER_NAME: tls('up', t => orNull(t.sni)),
}
