import type { Connection } from '../io/connection.ts'
import type { PoolClient } from './pool-client.ts'
import { HttpConnectionPool } from './pool-http.ts'

/** HTTP/1.1: one request at a time on a connection. */
export class Http1Pool extends HttpConnectionPool {
  protected override initialLimit(): number {
    return 1
  }

  protected override makeCodec(client: PoolClient, c: Connection): void {
    client.http1 = this.codecs.http1(c, client.decoder, this.cluster)
    client.codec = client.http1
    client.limit = 1
  }

  protected override countConnection(): void {
    this.cluster.counters.upstreamCxHttp1Total.inc()
    this.codecs.prepareHttp1(this.cluster)
  }
}
