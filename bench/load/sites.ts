import type { Certificates } from './certificates.ts'

/** Where everything of a run is; configurations are made from it. */
export interface Sites {
  readonly listen: number
  readonly admin: number
  /** Access log of this peer. */
  readonly log: string
  /** For temporary files of this peer. */
  readonly folder: string
  readonly workers: number
  readonly upstreams: Upstreams
  readonly certificates: Certificates | null
}

/** Ports on 127.0.0.1. */
export interface Upstreams {
  /** nginx, HTTP/1.1: small answers, files, `/inspect`, and by way of `stub` the paths below. */
  readonly http1: number
  /** The same nginx, HTTP/2 without TLS. */
  readonly http2: number
  /** The same nginx, HTTP/1.1 with TLS, P-256, for clients with a certificate; not there in a run without certificates. */
  readonly mutualTls: number
  /** HTTP/1.1: `/stall` never answers; `/flaky?id=…` answers 503 to the first request of an id and 200 to the next. */
  readonly stub: number
  /** HTTP/2 without TLS: never answers. */
  readonly hold: number
  readonly grpc: number
  readonly tcp: number
  /** Delta xDS (endpoints only) and, on the port after it, the HTTP control of the bench. */
  readonly xds: number
  readonly xdsControl: number
}
