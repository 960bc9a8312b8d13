import type { Configuration, Equivalent } from '../configurations/configuration.ts'
import { certificatesOf, pairOf } from '../configurations/tls.ts'
import type { Sites } from '../sites.ts'
import type { PeerProgram } from './peer.ts'

export class NginxPeer implements PeerProgram {
  readonly id = 'nginx'
  readonly title: string
  readonly version: string
  readonly extension = 'conf'
  readonly logsToStdout = false
  readonly isEnvoy = false
  readonly #user: string | null

  /** `user`: whom its worker runs as; null when this is not root and it cannot change. */
  constructor(version: string, user: string | null) {
    this.title = `nginx ${/[\d.]+/.exec(version)?.[0] ?? ''}`
    this.version = version
    this.#user = user
  }

  cannot(configuration: Configuration): string | null {
    const wanted = configuration.equivalent
    if (wanted === null) return 'nothing equivalent'
    if (wanted.kind === 'tcp') return 'its stream module is often not installed'
    if (wanted.kind === 'http' && wanted.upstream === 'http2') return 'speaks no HTTP/2 to upstreams'
    return null
  }

  configure(configuration: Configuration, sites: Sites): string {
    const wanted = configuration.equivalent as Equivalent
    const { folder } = sites
    return `${this.#user === null ? '' : `user ${this.#user};\n`}worker_processes ${sites.workers};
worker_rlimit_nofile 20000;
daemon off;
pid ${folder}/nginx.pid;
error_log ${folder}/nginx.err;
events { worker_connections 16384; }
http {
  log_format bench '[$time_iso8601] "$request" $status $body_bytes_sent $request_time "$http_user_agent" "$request_id" "$host" "$upstream_addr"';
  access_log ${sites.log} bench buffer=64k flush=1s;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_temp_path ${folder}/t1;
  proxy_temp_path ${folder}/t2;
  fastcgi_temp_path ${folder}/t3;
  uwsgi_temp_path ${folder}/t4;
  scgi_temp_path ${folder}/t5;
  upstream service {
    server 127.0.0.1:${sites.upstreams[wanted.upstream]} max_fails=0;
    server 127.0.0.1:${sites.upstreams[wanted.upstream]} max_fails=0;
    keepalive 1024;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${sites.listen}${listenOptions(wanted)} backlog=8192;
    http2_max_concurrent_streams 1000;
${tlsLines(wanted, sites)}    location / {
${wanted.kind === 'grpc' ? grpcLines(wanted) : proxyLines(wanted)}    }
  }
}
`
  }

  command(file: string, sites: Sites): readonly string[] {
    return ['nginx', '-c', file, '-e', `${sites.folder}/nginx.err`]
  }
}

function listenOptions(wanted: Equivalent): string {
  return `${wanted.tls === 'none' ? '' : ' ssl'}${wanted.http2 ? ' http2' : ''}`
}

function tlsLines(wanted: Equivalent, sites: Sites): string {
  if (wanted.tls === 'none') return ''
  const certificates = certificatesOf(sites)
  const pair = pairOf(certificates, wanted.tls)
  const client = `    ssl_client_certificate ${certificates.ca};\n    ssl_verify_client on;\n`
  return `    ssl_certificate ${pair.cert};
    ssl_certificate_key ${pair.key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:bench:10m;
${wanted.clientCertificate ? client : ''}`
}

function proxyLines(wanted: Equivalent): string {
  return `      proxy_pass http://service;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Request-Id $request_id;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_read_timeout ${wanted.timeoutSeconds}s;
      proxy_request_buffering off;
      proxy_buffering off;
      proxy_next_upstream error http_503;
      proxy_next_upstream_tries 3;
`
}

function grpcLines(wanted: Equivalent): string {
  return `      grpc_pass grpc://service;
      grpc_set_header X-Request-Id $request_id;
      grpc_read_timeout ${wanted.timeoutSeconds}s;
`
}
