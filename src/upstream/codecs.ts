import type { Timers } from '../base/timer.ts'
import type { Codec, StreamDecoder } from '../codec/codec.ts'
import { Http1ClientCodec } from '../codec/http1/client.ts'
import { defaultHttp1Options, type Http1Options } from '../codec/http1/options.ts'
import type { Connection } from '../io/connection.ts'
import type { UpstreamHttpConfig } from './cluster-config.ts'
import type { ClientCodecs, Http1Codec } from './connector.ts'

/** The codecs of this proxy, with their options made once per cluster. */
export class BuiltinCodecs implements ClientCodecs {
  private readonly timers: Timers
  private readonly http1Options = new WeakMap<UpstreamHttpConfig, Http1Options>()

  constructor(timers: Timers) {
    this.timers = timers
  }

  http1(connection: Connection, decoder: StreamDecoder, http: UpstreamHttpConfig): Http1Codec {
    let options = this.http1Options.get(http)
    if (options === undefined) {
      options = http1Options(http)
      this.http1Options.set(http, options)
    }
    return new Http1ClientCodec(connection, decoder, options)
  }

  http2(_connection: Connection, _decoder: StreamDecoder, _http: UpstreamHttpConfig): Codec {
    throw new Error(`HTTP/2 codec missing (${this.timers.now()})`)
  }
}

/** envoy.config.core.v3.Http1ProtocolOptions of an upstream, in the codec's terms. */
export function http1Options(http: UpstreamHttpConfig): Http1Options {
  const p = http.http1
  const format = p['header_key_format'] as { proper_case_words?: object } | undefined
  return {
    ...defaultHttp1Options,
    maxHeadersKb: http.maxResponseHeadersKb,
    maxHeadersCount: http.maxHeadersCount,
    enableTrailers: p['enable_trailers'] === true,
    allowChunkedLength: p['allow_chunked_length'] === true,
    properCase: format?.proper_case_words !== undefined,
  }
}
