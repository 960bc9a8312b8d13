import type { Connection } from '../io/connection.ts'
import type { PoolClient } from './pool-client.ts'
import { HttpConnectionPool } from './pool-http.ts'

/** HTTP/2: a second connection is opened only when the first carries as many streams as it may. */
export class Http2Pool extends HttpConnectionPool {
  protected override initialLimit(): number {
    return streamLimit(this.cluster.config.http.maxConcurrentStreams, this.cluster.config.http.maxRequestsPerConnection)
  }

  protected override makeCodec(client: PoolClient, c: Connection): void {
    client.http2 = this.codecs.http2(c, client.decoder, this.cluster)
    client.codec = client.http2
  }

  protected override countConnection(): void {
    this.cluster.counters.upstreamCxHttp2Total.inc()
  }
}

export function streamLimit(concurrent: number, lifetime: number): number {
  return lifetime === 0 ? concurrent : Math.min(concurrent, lifetime)
}
