import {
  createServer as createHttp2,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import { createServer, type Server, type Socket } from 'node:net'
import { allocatePort } from '../../harness/ports.ts'

/** What a collector does with those who want to tell it something. */
export type Manner =
  /** Takes and answers everything. */
  | 'good'
  /** Takes everything and never answers. */
  | 'silent'
  /** Accepts connections and never reads. */
  | 'deaf'
  /** Resets the connection in the middle of the first message. */
  | 'resets'

/** A collector of logs and spans over HTTP/2, for ALS, OTLP and Zipkin. */
export class Collector {
  readonly port: number
  /** Bytes of messages by path. */
  readonly bytes = new Map<string, number>()
  connections = 0
  readonly #server: Server | Http2Server
  readonly #sockets = new Set<Socket>()
  readonly #sessions = new Set<ServerHttp2Session>()

  private constructor(port: number, server: Server | Http2Server) {
    this.port = port
    this.#server = server
  }

  static async start(manner: Manner): Promise<Collector> {
    const port = await allocatePort()
    const server = manner === 'deaf' ? createServer({ pauseOnConnect: true }) : createHttp2()
    const collector = new Collector(port, server)
    server.on('connection', (socket: Socket) => {
      collector.connections++
      collector.#sockets.add(socket)
      socket.on('error', () => {}).on('close', () => collector.#sockets.delete(socket))
    })
    server.on('session', (session: ServerHttp2Session) => {
      collector.#sessions.add(session)
      session.on('error', () => {}).on('close', () => collector.#sessions.delete(session))
    })
    server.on('stream', (stream: ServerHttp2Stream, headers: Record<string, string>) => {
      const path = headers[':path']!
      const isGrpc = headers['content-type'] === 'application/grpc'
      stream.on('error', () => {})
      stream.on('data', (chunk: Buffer) => {
        collector.bytes.set(path, (collector.bytes.get(path) ?? 0) + chunk.length)
        if (manner === 'resets') for (const socket of collector.#sockets) socket.resetAndDestroy()
      })
      if (manner !== 'good') return
      stream.on('end', () => {
        if (stream.destroyed) return
        stream.respond(
          { ':status': isGrpc ? 200 : 202, 'content-type': 'application/grpc' },
          { waitForTrailers: isGrpc },
        )
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
        stream.end(isGrpc ? Buffer.alloc(5) : '')
      })
    })
    await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
    return collector
  }

  stop(): void {
    this.#server.close()
    for (const session of this.#sessions) session.destroy()
    for (const socket of this.#sockets) socket.destroy()
  }
}

const TYPE = 'type.googleapis.com/'
/** To one collector at a time. */
export const MAX_REQUESTS = 20
const ALS = '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs'
const OTLP = '/opentelemetry.proto.collector.logs.v1.LogsService/Export'
export const PATHS = { als: ALS, otlp: OTLP, zipkin: '/api/v2/spans' } as const

/** A proxy that answers itself, and tells a file, ALS, an OTLP log and Zipkin of every request. `flush`: of what buffers, ms. */
export function telling(port: number, admin: number, collector: number, file: string, flush: string): string {
  const address = (value: number): object => ({ socket_address: { address: '127.0.0.1', port_value: value } })
  const typed = (name: string, type: string, body: object): object => ({
    name,
    typed_config: { '@type': TYPE + type, ...body },
  })
  const cluster = (name: string): object => ({
    name,
    type: 'STATIC',
    circuit_breakers: { thresholds: [{ max_requests: MAX_REQUESTS }] },
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(collector) } }] }],
    },
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': `${TYPE}envoy.extensions.upstreams.http.v3.HttpProtocolOptions`,
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
  })
  const common = (name: string): object => ({
    log_name: name,
    transport_api_version: 'V3',
    buffer_flush_interval: flush,
    grpc_service: { envoy_grpc: { cluster_name: name } },
  })
  const manager = typed('hcm', 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: 'http',
    access_log: [
      typed('file', 'envoy.extensions.access_loggers.file.v3.FileAccessLog', {
        path: file,
        log_format: { text_format_source: { inline_string: '%RESPONSE_CODE%\n' } },
      }),
      typed('als', 'envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig', { common_config: common('als') }),
      typed('otlp', 'envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig', {
        common_config: common('otlp'),
        body: { string_value: '%REQ(:PATH)%' },
      }),
    ],
    tracing: {
      provider: typed('z', 'envoy.config.trace.v3.ZipkinConfig', {
        collector_cluster: 'zipkin',
        collector_endpoint: '/api/v2/spans',
        collector_endpoint_version: 'HTTP_JSON',
      }),
      random_sampling: { value: 100 },
      max_path_tag_length: 10_000,
    },
    route_config: {
      name: 'r',
      virtual_hosts: [
        { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }] },
      ],
    },
    http_filters: [typed('router', 'envoy.extensions.filters.http.router.v3.Router', {})],
  })
  return JSON.stringify({
    node: { id: 'n', cluster: 'c' },
    admin: { address: address(admin) },
    static_resources: {
      listeners: [{ name: 'l', address: address(port), filter_chains: [{ filters: [manager] }] }],
      clusters: ['als', 'otlp', 'zipkin'].map(cluster),
    },
  })
}
