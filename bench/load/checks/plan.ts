/** What has to be seen on a process before its figures count. */
export interface CheckPlan {
  readonly kind: 'http' | 'grpc' | 'tcp' | 'ready'
  readonly protocol: 'http1' | 'http2'
  readonly tls: boolean
  readonly clientCertificate: boolean
  /** Certificate that has to be seen. */
  readonly certificate: 'rsa' | 'ec'
  /** Host header that leads to the route that is measured. */
  readonly host: string
  /** Prefix of the connection manager's or the TCP proxy's stats. */
  readonly statPrefix: string
  readonly cluster: string
  /** `server` header of responses. */
  readonly server: string
  /** Retry policy of the route acts on 503. */
  readonly retries: boolean
  /** A stalling upstream ends in 504 after so many seconds; null where the configuration has no such timeout. */
  readonly stallSeconds: number | null
  /** Requests leave a line in the access log. */
  readonly log: boolean
  /** How long to wait for that line: proxies write logs once a second. */
  readonly logWaitSeconds: number
}

export const HTTP_PLAN: CheckPlan = {
  kind: 'http',
  protocol: 'http1',
  tls: false,
  clientCertificate: false,
  certificate: 'rsa',
  host: 'bench.test',
  statPrefix: 'ingress',
  cluster: 'upstream',
  server: 'envoy',
  retries: true,
  stallSeconds: 3,
  log: true,
  logWaitSeconds: 4,
}
