import type { Connection } from '../io/connection.ts'
import type { PoolClient } from './pool-client.ts'
import { HttpConnectionPool } from './pool-http.ts'
import { streamLimit } from './pool-http2.ts'

/** auto_config: what ALPN gives. Until then a connection counts as one that carries a single stream (HttpConnPoolImplMixed). */
export class AutoPool extends HttpConnectionPool {
  protected override initialLimit(): number {
    return 1
  }

  protected override makeCodec(client: PoolClient, c: Connection): void {
    const http = this.cluster.config.http
    if (c.tls?.alpn === 'h2') {
      this.cluster.counters.upstreamCxHttp2Total.inc()
      client.http2 = this.codecs.http2(c, client.decoder, this.cluster)
      client.codec = client.http2
      client.limit = streamLimit(http.maxConcurrentStreams, http.maxRequestsPerConnection)
      return
    }
    this.cluster.counters.upstreamCxHttp1Total.inc()
    client.http1 = this.codecs.http1(c, client.decoder, this.cluster)
    client.codec = client.http1
  }

  protected override countConnection(): void {
    // The protocol is known once ALPN is through.
  }
}
