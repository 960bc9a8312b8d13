import type { Certificates } from '../certificates.ts'
import type { Upstreams } from '../sites.ts'

/** Sizes of the files it serves: path → bytes. */
export const FILES: Readonly<Record<string, number>> = {
  '4k': 4096,
  '64k': 65536,
  '1m': 1048576,
  '100m': 104857600,
}

/** What `/inspect` answers: the headers the proxy has to add, as this upstream received them. */
const SEEN =
  'request-id=$http_x_request_id;proto=$http_x_forwarded_proto;expected=$http_x_envoy_expected_rq_timeout_ms;attempt=$http_x_envoy_attempt_count;host=$host;end'

export function nginxUpstream(
  ports: Upstreams,
  folder: string,
  user: string | null,
  certificates: Certificates | null,
): string {
  const server = (port: number, protocol: string, more = ''): string => `
  server {
    listen 127.0.0.1:${port}${protocol} reuseport backlog=8192;${more}
    http2_max_concurrent_streams 10000;
    location / { default_type text/plain; return 200 "hello from upstream\\n"; }
    location = /inspect { default_type text/plain; return 200 "${SEEN}\\n"; }
    location = /upload {
      # Reads the whole body: an answer before its end would be another case.
      client_max_body_size 0;
      client_body_buffer_size 2m;
      proxy_pass http://127.0.0.1:${ports.http1}/;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
    }
    location /files/ { alias ${folder}/files/; default_type application/octet-stream; }
    location /stall { proxy_pass http://127.0.0.1:${ports.stub}; proxy_read_timeout 600s; }
    location /flaky { proxy_pass http://127.0.0.1:${ports.stub}; }
  }`
  return `
${user === null ? '' : `user ${user};`}
worker_processes 1;
worker_rlimit_nofile 20000;
daemon off;
pid ${folder}/nginx.pid;
error_log ${folder}/nginx.err;
events { worker_connections 16384; multi_accept on; }
http {
  access_log off;
  sendfile on;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  keepalive_timeout 3600s;
  client_body_temp_path ${folder}/t1;
  proxy_temp_path ${folder}/t2;
  fastcgi_temp_path ${folder}/t3;
  uwsgi_temp_path ${folder}/t4;
  scgi_temp_path ${folder}/t5;
${server(ports.http1, '')}
${server(ports.http2, ' http2')}
${certificates === null ? '' : server(ports.mutualTls, ' ssl', mutualTls(certificates))}
}
`
}

function mutualTls({ ca, ec }: Certificates): string {
  return `
    ssl_certificate ${ec.cert};
    ssl_certificate_key ${ec.key};
    ssl_client_certificate ${ca};
    ssl_verify_client on;
    ssl_protocols TLSv1.3;`
}
