import { SERVER_VERSION } from '../base/version.ts'
import type { StatsStore } from '../stats/store.ts'
import { NEVER } from './certificate-expiry.ts'
import { ADMIN_HTTP_STATS, ADMIN_LISTENER_STATS, ASYNC_CLIENT_STATS, SERVER_STATS } from './stat-names.ts'

/** The `server.*` values and those of the thread dogs that Envoy has. */
export class ServerStats {
  readonly #store: StatsStore
  readonly #started = performance.now()

  constructor(store: StatsStore, concurrency: number, hotRestart: boolean) {
    this.#store = store
    store.declare('', SERVER_STATS)
    store.declare('http.admin.', ADMIN_HTTP_STATS)
    store.declare('listener.admin.', ADMIN_LISTENER_STATS)
    store.declare('http.async-client.', ASYNC_CLIENT_STATS)
    for (let i = 0; i < concurrency; i++) {
      store.declare(`thread_local_cluster_manager.worker_${i}.`, {
        counters: [],
        gauges: ['clusters_inflated'],
        histograms: [],
      })
      store.declare(`server.worker_${i}.`, {
        counters: ['watchdog_mega_miss', 'watchdog_miss'],
        gauges: [],
        histograms: [],
      })
    }
    store.gauge('server.concurrency').set(concurrency)
    if (hotRestart) store.gauge('server.hot_restart_generation').set(1)
    store.gauge('server.hot_restart_epoch').set(0)
    store.gauge('server.version').set(SERVER_VERSION)
    store.gauge('server.days_until_first_cert_expiring').set(NEVER)
    // 2 = PRE_INITIALIZING, until the first flush says otherwise.
    store.gauge('server.state').set(2)
  }

  /** Seconds since the start of the process' server. */
  uptime(): number {
    return (performance.now() - this.#started) / 1000
  }

  initialized(): void {
    this.#store.histogram('server.initialization_time_ms').record(Math.round(performance.now() - this.#started))
  }

  live(live: boolean): void {
    this.#store.gauge('server.live').set(live ? 1 : 0)
  }

  /** What Envoy brings up to date at each flush and when admin asks. `daysToExpiry`: of the first certificate. */
  refresh(state: number, daysToExpiry: number): void {
    this.#store.gauge('server.days_until_first_cert_expiring').set(daysToExpiry)
    const memory = process.memoryUsage()
    this.#store.gauge('server.uptime').set(Math.floor(this.uptime()))
    this.#store.gauge('server.state').set(state)
    this.#store.gauge('server.memory_allocated').set(memory.heapUsed + memory.external)
    this.#store.gauge('server.memory_heap_size').set(memory.heapTotal)
    this.#store.gauge('server.memory_physical_size').set(memory.rss)
    const connections = this.#store.sumOf(
      name =>
        /^listener\..*\.downstream_cx_active$/.test(name) &&
        !/\.(worker_\d+|main_thread)\./.test(name) &&
        !name.startsWith('listener.admin.'),
    )
    this.#store.gauge('server.total_connections').set(connections)
  }
}
