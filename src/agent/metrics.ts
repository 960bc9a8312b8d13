import type { IncomingHttpHeaders } from 'node:http'
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import { ask } from './admin-client.ts'
import { log } from './log.ts'

export interface MergeSources {
  /** Port of the proxy's Prometheus listener (15090). */
  readonly proxyPort: number
  /** The application's own metrics, from ISTIO_PROMETHEUS_ANNOTATIONS. */
  readonly application: { readonly port: number; readonly path: string } | undefined
}

const TEXT = 'text/plain; version=0.0.4; charset=utf-8'
const DEFAULT_SCRAPE_TIMEOUT_MS = 10_000

/** The agent's own metrics, under Istio's names and prefix, and the page that joins them with proxy and application. */
export class AgentMetrics {
  /** Parts of the agent add theirs. */
  readonly registry = new Registry()
  readonly #scrapes: Counter
  readonly #failures: Counter
  readonly #startup: Gauge

  constructor() {
    const registers = [this.registry]
    collectDefaultMetrics({ register: this.registry, prefix: 'istio_agent_' })
    this.#scrapes = new Counter({
      name: 'istio_agent_scrapes_total',
      help: 'The total number of scrapes.',
      registers,
    })
    this.#failures = new Counter({
      name: 'istio_agent_scrape_failures_total',
      help: 'The total number of failed scrapes.',
      labelNames: ['type'],
      registers,
    })
    this.#startup = new Gauge({
      name: 'istio_agent_startup_duration_seconds',
      help: 'The time from the process starting to being marked ready.',
      registers,
    })
  }

  recordReady(): void {
    const seconds = process.uptime()
    this.#startup.set(seconds)
    log.info(`Readiness succeeded in ${(seconds * 1000).toFixed(3)}ms`)
  }

  /** Agent, then proxy, then application: an OpenMetrics page of the application ends the whole with `# EOF`. */
  async page(
    sources: MergeSources,
    query: string,
    headers: IncomingHttpHeaders,
  ): Promise<{ type: string; body: Buffer }> {
    this.#scrapes.inc()
    const proxyPath = query === '' ? '/stats/prometheus' : `/stats/prometheus?${query}`
    const [proxy, application] = await Promise.all([
      this.#scrape('envoy', sources.proxyPort, proxyPath, headers),
      sources.application === undefined
        ? undefined
        : this.#scrape('application', sources.application.port, sources.application.path, headers),
    ])
    const own = Buffer.from(await this.registry.metrics())
    const parts: Buffer[] = [own]
    for (const part of [proxy, application]) {
      // A page may lack its last newline.
      if (part !== undefined) parts.push(NEWLINE, part.body)
    }
    return { type: application?.type ?? TEXT, body: Buffer.concat(parts) }
  }

  async #scrape(
    type: string,
    port: number,
    path: string,
    headers: IncomingHttpHeaders,
  ): Promise<{ type: string; body: Buffer } | undefined> {
    const seconds = Number(headers['x-prometheus-scrape-timeout-seconds'])
    const forwarded: Record<string, string> = {}
    for (const name of ['user-agent', 'x-prometheus-scrape-timeout-seconds'] as const) {
      const value = headers[name]
      if (typeof value === 'string') forwarded[name] = value
    }
    // The application may choose OpenMetrics; the proxy is asked for the text form that can stand in the middle.
    if (type === 'application' && headers.accept !== undefined) forwarded.accept = headers.accept
    try {
      const answer = await ask({
        host: 'localhost',
        port,
        path,
        headers: forwarded,
        timeoutMs: seconds > 0 ? seconds * 1000 : DEFAULT_SCRAPE_TIMEOUT_MS,
      })
      if (answer.status !== 200) throw new Error(`port ${port}${path}: status code ${answer.status}`)
      return { type: String(answer.headers['content-type'] ?? TEXT), body: answer.body }
    } catch (error) {
      log.error(`failed scraping ${type} metrics: ${(error as Error).message}`)
      this.#failures.inc({ type })
      return undefined
    }
  }
}

const NEWLINE = Buffer.from('\n')
