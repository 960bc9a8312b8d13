import type { Configuration, Equivalent } from '../configurations/configuration.ts'
import { certificatesOf, pairOf } from '../configurations/tls.ts'
import { nodeCommand } from '../place.ts'
import type { Sites } from '../sites.ts'
import type { PeerProgram } from './peer.ts'

/** What the two proxies on Node's own modules read. */
export interface NodeProxyOptions {
  readonly kind: 'http' | 'grpc' | 'tcp'
  readonly listen: number
  readonly http2: boolean
  readonly tls: { readonly cert: string; readonly key: string; readonly clientCa: string | null } | null
  readonly upstream: number
  readonly upstreamHttp2: boolean
  readonly timeoutSeconds: number
  readonly log: string
}

/** A plain proxy on node:http, node:http2 and node:net, and one on the http2-proxy package. */
export class NodePeer implements PeerProgram {
  readonly id: 'node' | 'http2-proxy'
  readonly title: string
  readonly version: string
  readonly extension = 'json'
  readonly logsToStdout = false
  readonly isEnvoy = false

  constructor(id: 'node' | 'http2-proxy', version: string) {
    this.id = id
    this.title = id === 'node' ? "Node's http and http2" : `http2-proxy ${version}`
    this.version = version
  }

  cannot(configuration: Configuration): string | null {
    const wanted = configuration.equivalent
    if (wanted === null) return 'nothing equivalent'
    if (sitesNeedWorkers(configuration)) return 'one process, one thread'
    if (this.id === 'http2-proxy' && (wanted.kind !== 'http' || wanted.upstream !== 'http1'))
      return 'speaks HTTP/1.1 to upstreams only'
    return null
  }

  configure(configuration: Configuration, sites: Sites): string {
    const wanted = configuration.equivalent as Equivalent
    const options: NodeProxyOptions = {
      kind: wanted.kind,
      listen: sites.listen,
      http2: wanted.http2,
      tls: wanted.tls === 'none' ? null : tlsFiles(wanted, wanted.tls, sites),
      upstream: sites.upstreams[wanted.upstream],
      upstreamHttp2: wanted.upstream === 'http2' || wanted.upstream === 'grpc',
      timeoutSeconds: wanted.timeoutSeconds,
      log: sites.log,
    }
    return `${JSON.stringify(options, null, 2)}\n`
  }

  command(file: string): readonly string[] {
    return nodeCommand(this.id === 'node' ? 'peers/node-proxy' : 'peers/http2-proxy', file)
  }
}

function sitesNeedWorkers(configuration: Configuration): boolean {
  return configuration.workers > 1
}

function tlsFiles(wanted: Equivalent, key: 'rsa' | 'ec', sites: Sites): NodeProxyOptions['tls'] {
  const certificates = certificatesOf(sites)
  const pair = pairOf(certificates, key)
  return { cert: pair.cert, key: pair.key, clientCa: wanted.clientCertificate ? certificates.ca : null }
}
