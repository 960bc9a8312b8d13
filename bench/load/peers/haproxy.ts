import type { Configuration, Equivalent } from '../configurations/configuration.ts'
import { certificatesOf, pairOf } from '../configurations/tls.ts'
import type { Sites } from '../sites.ts'
import type { PeerProgram } from './peer.ts'

export class HaproxyPeer implements PeerProgram {
  readonly id = 'haproxy'
  readonly title: string
  readonly version: string
  readonly extension = 'cfg'
  readonly logsToStdout = true
  readonly isEnvoy = false

  constructor(version: string) {
    this.title = `HAProxy ${/\d[\d.]+/.exec(version)?.[0] ?? ''}`
    this.version = version
  }

  cannot(configuration: Configuration): string | null {
    return configuration.equivalent === null ? 'nothing equivalent' : null
  }

  configure(configuration: Configuration, sites: Sites): string {
    const wanted = configuration.equivalent as Equivalent
    const mode = wanted.kind === 'tcp' ? 'tcp' : 'http'
    return `global
  nbthread ${sites.workers}
  maxconn 9000
  log stdout format raw local0
  ssl-server-verify none
  tune.h2.max-concurrent-streams 1000
defaults
  mode ${mode}
  log global
  option ${mode}log
  timeout connect 1s
  timeout client 3600s
  timeout server ${wanted.timeoutSeconds}s
${mode === 'http' ? HTTP_DEFAULTS : ''}frontend ingress
  bind 127.0.0.1:${sites.listen} backlog 8192${bindOptions(wanted, sites)}
${mode === 'http' ? HTTP_FRONTEND : ''}  default_backend service
backend service
  server one 127.0.0.1:${sites.upstreams[wanted.upstream]}${wanted.upstream === 'http2' || wanted.upstream === 'grpc' ? ' proto h2' : ''}
`
  }

  command(file: string): readonly string[] {
    return ['haproxy', '-db', '-f', file]
  }
}

const HTTP_DEFAULTS = `  option http-keep-alive
  http-reuse always
  retries 2
  retry-on 503 conn-failure empty-response
`

const HTTP_FRONTEND = `  option forwardfor
  unique-id-format %[uuid()]
  unique-id-header x-request-id
  http-request set-header x-forwarded-proto http unless { ssl_fc }
  http-request set-header x-forwarded-proto https if { ssl_fc }
`

function bindOptions(wanted: Equivalent, sites: Sites): string {
  if (wanted.tls === 'none') return wanted.http2 ? ' proto h2' : ''
  const certificates = certificatesOf(sites)
  const pair = pairOf(certificates, wanted.tls)
  const client = wanted.clientCertificate ? ` ca-file ${certificates.ca} verify required` : ''
  return ` ssl crt ${pair.combined} alpn h2,http/1.1${client}`
}
