import type { IncomingHttpHeaders } from 'node:http'
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import { ask } from './admin-client.ts'
import { log } from './log.ts'
import { acceptedFormats, joinPages, pageFormat, TEXT_FORMAT } from './metrics-format.ts'
import type { ScrapeTarget } from './scrape-targets.ts'

export interface MergeSources {
  /** Port of the proxy's Prometheus listener (15090); 0: its page is not merged. */
  readonly proxyPort: number
  /** The application's own metrics. */
  readonly applications: readonly ScrapeTarget[]
}

/** Of one of several targets, which are held until all have answered (defaultMaxAppMetricsBodyBytes). */
const MAX_TARGET_BODY = 10 << 20
const DEFAULT_SCRAPE_TIMEOUT_MS = 10_000

/** The agent's own metrics, under Istio's names and prefix, and the page that joins them with proxy and application. */
export class AgentMetrics {
  /** Parts of the agent add theirs. */
  readonly registry = new Registry()
  readonly #scrapes: Counter
  readonly #failures: Counter
  readonly #startup: Gauge
  #measuresProcess = false

  constructor() {
    const registers = [this.registry]
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

  /**
   * Memory, event loop and garbage of this process, from the first scrape on: their modules need not be there for a start, and the
   * histogram of the event loop wakes the process a hundred times a second.
   */
  #measureProcess(): void {
    if (this.#measuresProcess) return
    this.#measuresProcess = true
    collectDefaultMetrics({ register: this.registry, prefix: 'istio_agent_' })
  }

  recordReady(): void {
    const seconds = process.uptime()
    this.#startup.set(seconds)
    log.info(`Readiness succeeded in ${(seconds * 1000).toFixed(3)}ms`)
  }

  /** Agent, then proxy, then application: an OpenMetrics page of the application ends the whole with `# EOF`. Never fails. */
  async page(
    sources: MergeSources,
    query: string,
    headers: IncomingHttpHeaders,
  ): Promise<{ type: string; body: Buffer }> {
    this.#scrapes.inc()
    this.#measureProcess()
    const proxyPath = query === '' ? '/stats/prometheus' : `/stats/prometheus?${query}`
    const { applications, proxyPort } = sources
    const [proxy, pages] = await Promise.all([
      proxyPort === 0 ? undefined : this.#scrape('envoy', { port: proxyPort, path: proxyPath }, headers),
      this.#applications(applications, headers),
    ])
    const own = Buffer.from(await this.registry.metrics())
    const parts: Buffer[] = [own]
    for (const part of proxy === undefined ? pages.pages : [proxy.body, ...pages.pages]) {
      // A page may lack its last newline; an empty line OpenMetrics does not allow.
      if (parts.at(-1)?.at(-1) !== 10) parts.push(NEWLINE)
      parts.push(part)
    }
    return { type: pages.format, body: Buffer.concat(parts) }
  }

  /** What the application's pages are together; those of targets that fail are left out. */
  async #applications(
    targets: readonly ScrapeTarget[],
    headers: IncomingHttpHeaders,
  ): Promise<{ readonly format: string; readonly pages: readonly Buffer[] }> {
    const limit = targets.length > 1 ? MAX_TARGET_BODY : undefined
    const answers = await Promise.all(targets.map(target => this.#scrape('application', target, headers, limit)))
    const there = answers.filter(answer => answer !== undefined)
    const formats = there.map(({ type }) => pageFormat(type))
    if (targets.length > 1)
      return joinPages(
        there.map(({ body }) => body),
        formats,
      )
    return { format: formats[0] ?? TEXT_FORMAT, pages: there.map(({ body }) => body) }
  }

  async #scrape(
    type: string,
    { port, path }: ScrapeTarget,
    headers: IncomingHttpHeaders,
    maxBody?: number,
  ): Promise<{ type: string | undefined; body: Buffer } | undefined> {
    const seconds = Number(headers['x-prometheus-scrape-timeout-seconds'])
    const forwarded: Record<string, string> = {}
    for (const name of ['user-agent', 'x-prometheus-scrape-timeout-seconds'] as const) {
      const value = headers[name]
      if (typeof value === 'string') forwarded[name] = value
    }
    // The application may choose OpenMetrics; the proxy is asked for the text form that can stand in the middle.
    if (type === 'application') forwarded.accept = acceptedFormats(headers.accept)
    try {
      const answer = await ask({
        host: 'localhost',
        port,
        path,
        headers: forwarded,
        timeoutMs: seconds > 0 ? seconds * 1000 : DEFAULT_SCRAPE_TIMEOUT_MS,
        ...(maxBody === undefined ? {} : { maxBody }),
      })
      if (answer.status !== 200) throw new Error(`port ${port}${path}: status code ${answer.status}`)
      const contentType = answer.headers['content-type']
      return { type: typeof contentType === 'string' ? contentType : undefined, body: answer.body }
    } catch (error) {
      log.error(`failed scraping ${type} metrics: ${(error as Error).message}`)
      this.#failures.inc({ type })
      return undefined
    }
  }
}

const NEWLINE = Buffer.from('\n')
