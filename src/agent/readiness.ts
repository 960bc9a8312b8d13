import { ask } from './admin-client.ts'

/** Reads admin `/stats` with a raw query; resolves to the text. */
export type ReadStats = (filter: string) => Promise<string>

const UPDATES = '^(cluster_manager\\.cds|listener_manager\\.lds)\\.(update_success|update_rejected)$'
const STATE = '^(server\\.state|listener_manager\\.workers_started)'
const STATE_NAMES = ['LIVE', 'DRAINING', 'PRE_INITIALIZING', 'INITIALIZING']

/**
 * Istio's readiness (pilot-agent status/ready): configuration of both kinds received once, then the server live with
 * its workers started once. Both latch: neither goes back while the process lives, and the probe itself comes through
 * the proxy's own listener, so a dead proxy fails it anyway.
 */
export class Readiness {
  readonly #readStats: ReadStats | undefined
  readonly #agentMissing: () => string | undefined
  #received = false
  #live = false
  #terminated = ''

  /**
   * `readStats`: undefined, there is no proxy (DISABLE_ENVOY). `agentMissing`: what the agent itself lacks, asked once the proxy is
   * ready; undefined = nothing.
   */
  constructor(readStats: ReadStats | undefined, agentMissing: () => string | undefined = () => undefined) {
    this.#readStats = readStats
    this.#agentMissing = agentMissing
  }

  /** From here on the probe fails with `server is terminated: cause`: no new traffic to a pod that is going. */
  terminate(cause: string): void {
    this.#terminated ||= cause
  }

  /** undefined when ready, else why not, in Istio's words. */
  async check(): Promise<string | undefined> {
    try {
      if (this.#readStats === undefined) return this.#agentMissing()
      if (!this.#received) {
        const missing = configurationMissing(parseStats(await this.#readStats(UPDATES)))
        if (missing !== undefined) return missing
        this.#received = true
      }
      if (this.#terminated !== '') return `server is terminated: ${this.#terminated}`
      if (!this.#live) {
        const notLive = whyNotLive(parseStats(await this.#readStats(STATE)))
        if (notLive !== undefined) return notLive
        this.#live = true
      }
      return this.#agentMissing()
    } catch (error) {
      return (error as Error).message
    }
  }
}

export function adminStatsReader(host: string, port: number): ReadStats {
  return async filter => {
    const { status, body } = await ask({ host, port, path: `/stats?usedonly&filter=${filter}`, timeoutMs: 3000 })
    if (status !== 200) throw new Error(`GET /stats on port ${port}: status ${status}`)
    return body.toString()
  }
}

/** Text form of admin /stats: `name: number` per line; other lines (histograms) are skipped. */
export function parseStats(text: string): ReadonlyMap<string, number> {
  const stats = new Map<string, number>()
  for (const line of text.split('\n')) {
    const match = /^(\S+): ([0-9]+)\s*$/.exec(line)
    if (match !== null) stats.set(match[1] as string, Number(match[2]))
  }
  return stats
}

function configurationMissing(stats: ReadonlyMap<string, number>): string | undefined {
  const cds = stats.get('cluster_manager.cds.update_success') ?? 0
  const cdsRejected = stats.get('cluster_manager.cds.update_rejected') ?? 0
  const lds = stats.get('listener_manager.lds.update_success') ?? 0
  const ldsRejected = stats.get('listener_manager.lds.update_rejected') ?? 0
  if (cds > 0 && lds > 0) return undefined
  const counts = `cds updates: ${cds} successful, ${cdsRejected} rejected; lds updates: ${lds} successful, ${ldsRejected} rejected`
  if (cds === 0 && lds === 0) return `config not received from XDS server (is Istiod running?): ${counts}`
  if (cdsRejected > 0 || ldsRejected > 0) return `config received from XDS server, but was rejected: ${counts}`
  return `config not fully received from XDS server: ${counts}`
}

function whyNotLive(stats: ReadonlyMap<string, number>): string | undefined {
  const state = stats.get('server.state')
  const workers = stats.get('listener_manager.workers_started')
  if (state === undefined) return 'failed to get readiness stats: server.state is not yet updated'
  if (workers === undefined) return 'failed to get readiness stats: listener_manager.workers_started is not yet updated'
  if (state !== 0) return `server is not live, current state is: ${STATE_NAMES[state] ?? 'UNKNOWN'}`
  return workers === 1 ? undefined : 'workers have not yet started'
}
