import type { Counter, StatsScope } from '../../stats/stats.ts'

/** `<scope>ssl.*`, the fixed ones. Those that carry a name (ciphers, versions, curves, sigalgs) are made when first seen, as in Envoy. */
export class TlsStats {
  readonly connectionError: Counter
  readonly handshake: Counter
  readonly sessionReused: Counter
  readonly noCertificate: Counter
  readonly failVerifyNoCert: Counter
  readonly failVerifyError: Counter
  readonly failVerifySan: Counter
  readonly failVerifyCertHash: Counter
  readonly secretsNotReady: Counter
  readonly #scope: StatsScope
  readonly #named = new Map<string, Counter>()

  constructor(scope: StatsScope, server: boolean) {
    const ssl = scope.scope('ssl.')
    this.#scope = ssl
    this.connectionError = ssl.counter('connection_error')
    this.handshake = ssl.counter('handshake')
    this.sessionReused = ssl.counter('session_reused')
    this.noCertificate = ssl.counter('no_certificate')
    this.failVerifyNoCert = ssl.counter('fail_verify_no_cert')
    this.failVerifyError = ssl.counter('fail_verify_error')
    this.failVerifySan = ssl.counter('fail_verify_san')
    this.failVerifyCertHash = ssl.counter('fail_verify_cert_hash')
    for (const name of ['failed', 'omitted', 'requests', 'responses']) ssl.counter(`ocsp_staple_${name}`)
    const factory = scope.scope(server ? 'server_ssl_socket_factory.' : 'client_ssl_socket_factory.')
    const down = factory.counter('downstream_context_secrets_not_ready')
    const up = factory.counter('upstream_context_secrets_not_ready')
    this.secretsNotReady = server ? down : up
  }

  /** `kind`: ciphers, versions, curves, sigalgs. */
  seen(kind: string, value: string): void {
    if (value === '') return
    const name = `${kind}.${value}`
    let counter = this.#named.get(name)
    if (counter === undefined) {
      counter = this.#scope.counter(name)
      this.#named.set(name, counter)
    }
    counter.inc()
  }

  expiration(certificate: string, seconds: number): void {
    this.#scope.gauge(`certificate.${certificate}.expiration_unix_time_seconds`).set(seconds)
  }
}
