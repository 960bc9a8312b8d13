/** Options of both sides, plain and cloneable (envoy.config.core.v3.Http1ProtocolOptions and the limits around it). */
export interface Http1Options {
  /** Head limit in KiB: max_request_headers_kb / max_response_headers_kb. Default 60. */
  readonly maxHeadersKb: number
  /** common_http_protocol_options.max_headers_count. Default 100. */
  readonly maxHeadersCount: number
  /** Server: serve HTTP/1.0 (and, as Envoy, every version that is not 1.1) instead of 426. */
  readonly acceptHttp10: boolean
  /** Server: false leaves the absolute form of a request target as it is, which then matches no path (allow_absolute_url). */
  readonly allowAbsoluteUrl: boolean
  /** Server: a local reply of 400 keeps the connection (override_stream_error_on_invalid_http_message). */
  readonly keepOnBadRequest: boolean
  /** Server: authority of an HTTP/1.0 request without Host; '' = none. */
  readonly defaultHostForHttp10: string
  /** Pass trailers on; they are read and dropped otherwise. */
  readonly enableTrailers: boolean
  /** Accept Transfer-Encoding together with Content-Length (the length is dropped, RFC 9112 §6.3). */
  readonly allowChunkedLength: boolean
  /** header_key_format.proper_case_words: `Content-Type` on the wire. */
  readonly properCase: boolean
}

export const defaultHttp1Options: Http1Options = {
  maxHeadersKb: 60,
  maxHeadersCount: 100,
  acceptHttp10: false,
  allowAbsoluteUrl: true,
  keepOnBadRequest: false,
  defaultHostForHttp10: '',
  enableTrailers: false,
  allowChunkedLength: false,
  properCase: false,
}
