import type { Timers } from '../base/timer.ts'
import type { StreamDecoder } from '../codec/codec.ts'
import { Http1ClientCodec } from '../codec/http1/client.ts'
import type { Http1Options } from '../codec/http1/options.ts'
import { Http2ClientCodec } from '../codec/http2/client.ts'
import type { Http2Options } from '../codec/http2/options.ts'
import { type Http2Stats, http2Stats } from '../codec/http2/stats.ts'
import type { Connection } from '../io/connection.ts'
import type { ClientCodecs, CodecOwner, Http1Codec, Http2Codec } from './connector.ts'

/** The codecs of this proxy, with their options made once per cluster. */
export class BuiltinCodecs implements ClientCodecs {
  private readonly timers: Timers
  private readonly http1Made = new WeakMap<CodecOwner, Http1Options>()
  private readonly http2Made = new WeakMap<CodecOwner, Http2Made>()

  constructor(timers: Timers) {
    this.timers = timers
  }

  http1(connection: Connection, decoder: StreamDecoder, owner: CodecOwner): Http1Codec {
    return new Http1ClientCodec(connection, decoder, this.http1OptionsOf(owner))
  }

  prepareHttp1(owner: CodecOwner): void {
    this.http1OptionsOf(owner)
  }

  private http1OptionsOf(owner: CodecOwner): Http1Options {
    let options = this.http1Made.get(owner)
    if (options === undefined) {
      options = owner.config.http.http1
      // What these count are things that clients of this codec do not do.
      const scope = owner.stats.scope('http1.')
      for (const name of HTTP1_STATS) scope.counter(name)
      this.http1Made.set(owner, options)
    }
    return options
  }

  http2(connection: Connection, decoder: StreamDecoder, owner: CodecOwner): Http2Codec {
    let made = this.http2Made.get(owner)
    if (made === undefined) {
      const config = owner.config
      made = {
        options: { ...config.http.http2, streamBufferLimit: config.perConnectionBufferLimit },
        stats: http2Stats(owner.stats.scope('http2.'), 'upstream'),
      }
      this.http2Made.set(owner, made)
    }
    return new Http2ClientCodec(connection, decoder, made.options, this.timers, made.stats)
  }
}

const HTTP1_STATS: readonly string[] = [
  'dropped_headers_with_underscores',
  'metadata_not_supported_error',
  'requests_rejected_with_underscores_in_headers',
  'response_flood',
]

interface Http2Made {
  readonly options: Http2Options
  readonly stats: Http2Stats
}
