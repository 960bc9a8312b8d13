import { HeaderBlock } from '../../../src/codec/header-block.ts'
import type { Address, Connection, TlsInfo } from '../../../src/io/connection.ts'
import type { FormatContext } from '../../../src/telemetry/format-context.ts'
import { ResponseFlag, StreamInfo } from '../../../src/telemetry/stream-info.ts'

/** What the real Envoy printed: form → case → [text, json]. */
export type Recorded = Readonly<Record<string, Readonly<Record<string, readonly [string, unknown]>>>>

export function headers(fields: Partial<HeaderBlock>, list: readonly string[] = []): HeaderBlock {
  const h = new HeaderBlock()
  Object.assign(h, fields)
  h.list = [...list]
  return h
}

function address(text: string): Address {
  const colon = text.lastIndexOf(':')
  return { ip: text.slice(0, colon), port: Number(text.slice(colon + 1)), text }
}

export function connection(local: string, remote: string, tls: TlsInfo | null = null, id = 1): Connection {
  const fields: Partial<Connection> = {
    id,
    directRemote: address(remote),
    directLocal: address(local),
    remote: address(remote),
    local: address(local),
    requestedServerName: tls?.sni ?? '',
    tls,
    transportFailure: '',
    startTime: 999,
  }
  return fields as Connection
}

const SPIFFE = 'spiffe://cluster.local/ns/lab/sa/web'

/** The self-signed lab certificate was used on all four ends. */
function tlsInfo(values: Recorded, side: 'DOWNSTREAM' | 'UPSTREAM', handshakeEnd: number): TlsInfo {
  const text = (name: string): string => {
    const value = values[`%${side}_${name}%`]?.['mtls_h2_tlsup']?.[0] ?? '-'
    return value === '-' ? '' : value
  }
  const list = (name: string): string[] => (text(name) === '' ? [] : text(name).split(','))
  const pem = decodeURIComponent(text('PEER_CERT'))
  return {
    handshakeEnd,
    version: text('TLS_VERSION'),
    cipher: text('TLS_CIPHER'),
    sessionId: text('TLS_SESSION_ID'),
    resumed: false,
    sni: 'lab.test',
    alpn: 'h2',
    peerCertificate: Buffer.from(pem.replace(/-----[^-]*-----|\n/g, ''), 'base64'),
    peerCertificateChainPem: '',
    peerCertificatePresented: true,
    peerCertificateValidated: true,
    peerUriSans: [SPIFFE],
    peerDnsSans: ['lab.test'],
    peerIpSans: ['127.0.0.1'],
    peerEmailSans: [],
    peerSubject: text('PEER_SUBJECT'),
    peerIssuer: text('PEER_ISSUER'),
    peerSerial: text('PEER_SERIAL'),
    peerSha256: text('PEER_FINGERPRINT_256'),
    peerSha1: text('PEER_FINGERPRINT_1'),
    peerValidFrom: Date.parse(text('PEER_CERT_V_START')),
    peerValidTo: Date.parse(text('PEER_CERT_V_END')),
    localUriSans: list('LOCAL_URI_SAN'),
    localDnsSans: list('LOCAL_DNS_SAN'),
    localIpSans: list('LOCAL_IP_SAN'),
    localEmailSans: list('LOCAL_EMAIL_SAN'),
    localSubject: text('LOCAL_SUBJECT'),
  }
}

function base(values: Recorded, name: string): StreamInfo {
  const info = new StreamInfo()
  const number = (form: string): number => Number(values[form]?.[name]?.[1] ?? 0)
  info.startWall = Date.parse(values['%START_TIME%']?.[name]?.[0] ?? '')
  info.start = 1000
  info.end = 1000 + number('%DURATION%')
  info.bytesReceived = number('%BYTES_RECEIVED%')
  info.bytesSent = number('%BYTES_SENT%')
  info.downstreamHeaderBytesReceived = number('%DOWNSTREAM_HEADER_BYTES_RECEIVED%')
  info.downstreamHeaderBytesSent = number('%DOWNSTREAM_HEADER_BYTES_SENT%')
  info.downstreamWireBytesReceived = number('%DOWNSTREAM_WIRE_BYTES_RECEIVED%')
  info.downstreamWireBytesSent = number('%DOWNSTREAM_WIRE_BYTES_SENT%')
  info.upstreamHeaderBytesReceived = number('%UPSTREAM_HEADER_BYTES_RECEIVED%')
  info.upstreamHeaderBytesSent = number('%UPSTREAM_HEADER_BYTES_SENT%')
  info.upstreamWireBytesReceived = number('%UPSTREAM_WIRE_BYTES_RECEIVED%')
  info.upstreamWireBytesSent = number('%UPSTREAM_WIRE_BYTES_SENT%')
  info.requestId = values['%STREAM_ID%']?.[name]?.[0] ?? ''
  const given = (form: string): Readonly<Record<string, unknown>> | null => {
    const k = values[form]?.[name]?.[1] ?? null
    return k === null ? null : { [form.includes('VIRTUAL_HOST') ? 'lab.vh' : 'lab.l']: { k } }
  }
  info.virtualHostMetadata = given('%METADATA(VIRTUAL_HOST:lab.vh:k)%')
  info.listenerMetadata = given('%METADATA(LISTENER:lab.l:k)%')
  return info
}

function upstream(values: Recorded, name: string, info: StreamInfo, cluster: string, tls: TlsInfo | null = null): void {
  info.upstreamAttempts = 1
  info.upstreamClusterName = cluster
  info.upstreamClusterStatName = cluster
  info.upstreamHost = values['%UPSTREAM_HOST%']?.[name]?.[0] ?? ''
  info.upstreamHostName = values['%UPSTREAM_HOST_NAME%']?.[name]?.[0] ?? ''
  info.upstreamLocal = values['%UPSTREAM_LOCAL_ADDRESS%']?.[name]?.[0] ?? ''
  info.upstreamHostsAttempted.push(info.upstreamHost)
  info.upstreamConnection = Object.assign(
    connection(info.upstreamLocal, info.upstreamHost, tls, Number(values['%UPSTREAM_CONNECTION_ID%']?.[name]?.[1])),
    { startTime: info.start, connectEnd: info.start + 0.3 },
  )
  info.poolRequest = info.start
  info.poolAnswer = info.start + 0.4
  info.clusterMetadata = { 'lab.cluster': { team: 'blue', n: 4 } }
  info.hostMetadata = { 'envoy.lb': { v: '1' } }
}

const QUOTE = 'say "hi" \\ / \t tab \xe9'

/** A: HTTP/1.1 GET through a route that rewrites. */
export function h1Ok(values: Recorded): FormatContext {
  const info = base(values, 'h1_ok')
  upstream(values, 'h1_ok', info, 'up')
  Object.assign(info, {
    protocol: 'HTTP/1.1',
    upstreamProtocol: 'HTTP/1.1',
    responseCode: 200,
    responseCodeDetails: 'via_upstream',
    routeName: 'r_api',
    virtualClusterName: 'vcapi',
    filterChainName: 'fc_plain',
    lastDownstreamRx: 1000.2,
    firstUpstreamTx: 1000.4,
    lastUpstreamTx: 1000.5,
    firstUpstreamRx: 1000.9,
    lastUpstreamRx: 1001,
    firstDownstreamTx: 1001,
    lastDownstreamTx: 1001.1,
    routeMetadata: { 'lab.route': { k: 'rv' } },
    dynamicMetadata: { 'lab.md': { num: 42, hdr: 'mdvalue' } },
    filterState: { 'lab.fs': 'fs-GET' },
  })
  info.connection = connection('127.0.0.1:18080', values['%DOWNSTREAM_REMOTE_ADDRESS%']!['h1_ok']![0], null, 1)
  const target = { method: 'GET', path: '/rewritten/x?a=1&b=two%20words', authority: 'lab.test:8080', scheme: 'http' }
  return {
    info,
    requestHeaders: headers(target, [
      'user-agent',
      'lab-agent/1.0',
      'x-multi',
      'a',
      'x-multi',
      'b',
      'x-quote',
      QUOTE,
      'x-envoy-original-path',
      '/api/x?a=1&b=two%20words',
    ]),
    responseHeaders: headers({ status: 200 }, ['content-type', 'application/json', 'server', 'envoy']),
    responseTrailers: null,
    localReplyBody: '',
  }
}

/** B: mutual TLS and HTTP/2 to an upstream that speaks TLS. */
export function mtlsH2(values: Recorded): FormatContext {
  const name = 'mtls_h2_tlsup'
  const info = base(values, name)
  upstream(values, name, info, 'tlsup', tlsInfo(values, 'UPSTREAM', 1000.4))
  Object.assign(info, {
    protocol: 'HTTP/2',
    upstreamProtocol: 'HTTP/1.1',
    responseCode: 200,
    responseCodeDetails: 'via_upstream',
    routeName: 'r_tls',
    filterChainName: 'fc_tls',
    lastDownstreamRx: 1000.2,
    firstUpstreamTx: 1000.4,
    lastUpstreamTx: 1001.1,
    firstUpstreamRx: 1001.2,
    lastUpstreamRx: 1001.3,
    firstDownstreamTx: 1001.4,
    lastDownstreamTx: 1001.9,
    filterState: { 'lab.fs': 'fs-GET' },
  })
  const remote = values['%DOWNSTREAM_REMOTE_ADDRESS%']![name]![0]
  info.connection = connection('127.0.0.1:18443', remote, tlsInfo(values, 'DOWNSTREAM', 999.5), 14)
  const target = { method: 'GET', path: '/tls/a?a=1', authority: 'lab.test:18443', scheme: 'https' }
  const hash = values['%DOWNSTREAM_PEER_FINGERPRINT_256%']![name]![0]
  const xfcc = `By=${SPIFFE};Hash=${hash};Subject="CN=lab.test";URI=${SPIFFE};DNS=lab.test`
  return {
    info,
    requestHeaders: headers(target, ['user-agent', 'curl/7.88.1', 'x-forwarded-client-cert', xfcc]),
    responseHeaders: headers({ status: 200 }, ['content-type', 'application/json', 'server', 'envoy']),
    responseTrailers: null,
    localReplyBody: '',
  }
}

/** C: 404 because no route matches. */
export function h1NoRoute(values: Recorded): FormatContext {
  const name = 'h1_404_NR'
  const info = base(values, name)
  Object.assign(info, {
    protocol: 'HTTP/1.1',
    responseCode: 404,
    responseCodeDetails: 'route_not_found',
    filterChainName: 'fc_plain',
    lastDownstreamRx: 1000.05,
    firstDownstreamTx: 1000.1,
    lastDownstreamTx: 1000.152,
    dynamicMetadata: { 'lab.md': { num: 42, hdr: 'mdvalue' } },
    filterState: { 'lab.fs': 'fs-GET' },
  })
  info.setFlag(ResponseFlag.NoRouteFound)
  info.connection = connection('127.0.0.1:18080', values['%DOWNSTREAM_REMOTE_ADDRESS%']![name]![0], null, 8)
  const target = { method: 'GET', path: '/nothing', authority: 'lab.test:8080', scheme: 'http' }
  return {
    info,
    requestHeaders: headers(target, ['user-agent', 'lab-agent/1.0', 'x-multi', 'a', 'x-multi', 'b', 'x-quote', QUOTE]),
    responseHeaders: headers({ status: 404 }, ['server', 'envoy']),
    responseTrailers: null,
    localReplyBody: '',
  }
}

/** D: a TCP proxy. */
export function tcp(values: Recorded): FormatContext {
  const info = base(values, 'tcp')
  upstream(values, 'tcp', info, 'tcpup')
  info.filterChainName = 'fc_tcp'
  info.connection = connection('127.0.0.1:18081', values['%DOWNSTREAM_REMOTE_ADDRESS%']!['tcp']![0], null, 20)
  return { info, requestHeaders: null, responseHeaders: null, responseTrailers: null, localReplyBody: '' }
}
