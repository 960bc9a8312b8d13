import { Counter, Gauge, type Registry } from 'prom-client'

const CSR = { request_type: 'csr' }

/** Istio's metrics of the node agent (security/pkg/nodeagent/cache/monitoring.go), under its prefix. */
export class IdentityMetrics {
  readonly #requests: Counter
  readonly #failures: Counter
  readonly #retries: Counter
  readonly #latency: Counter
  readonly #watcherFailures: Counter
  readonly #fileFailures: Counter
  #expires = Number.NaN

  constructor(registry: Registry) {
    const counter = (name: string, help: string, labelNames: string[] = []): Counter =>
      new Counter({ name: `istio_agent_${name}`, help, labelNames, registers: [registry] })
    const byType = ['request_type']
    this.#requests = counter('num_outgoing_requests', 'Number of total outgoing requests (e.g. to a CA)', byType)
    this.#failures = counter(
      'num_failed_outgoing_requests',
      'Number of failed outgoing requests (e.g. to a CA)',
      byType,
    )
    this.#retries = counter('num_outgoing_retries', 'Number of outgoing retry requests (e.g. to a CA)', byType)
    this.#latency = counter(
      'outgoing_latency',
      'The latency of outgoing requests (e.g. to a CA) in milliseconds.',
      byType,
    )
    this.#watcherFailures = counter(
      'num_file_watcher_failures_total',
      'Number of times file watcher failed to add watchers',
    )
    this.#fileFailures = counter('num_file_secret_failures_total', 'Number of times secret generation failed for files')
    const gauge: Gauge = new Gauge({
      name: 'istio_agent_cert_expiry_seconds',
      help:
        'The time remaining, in seconds, before the certificate chain will expire. ' +
        'A negative value indicates the cert is expired.',
      labelNames: ['resource_name'],
      registers: [registry],
      collect: () => {
        if (!Number.isNaN(this.#expires)) gauge.set({ resource_name: 'default' }, (this.#expires - Date.now()) / 1000)
      },
    })
  }

  signed(milliseconds: number, failed: boolean): void {
    this.#requests.inc(CSR)
    this.#latency.inc(CSR, milliseconds)
    if (failed) this.#failures.inc(CSR)
  }

  retried(): void {
    this.#retries.inc(CSR)
  }

  watcherFailed(): void {
    this.#watcherFailures.inc()
  }

  fileFailed(): void {
    this.#fileFailures.inc()
  }

  /** Milliseconds since the epoch. */
  expires(at: number): void {
    this.#expires = at
  }
}
