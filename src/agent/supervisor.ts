import { setTimeout as sleep } from 'node:timers/promises'
import { log } from './log.ts'
import { LONGEST_TIMER_MS } from './longest-timer.ts'
import type { ProxyExit } from './proxy-process.ts'
import { parseStats, type ReadStats } from './readiness.ts'

/** What the supervisor needs of a proxy; tests give it a fake. */
export interface Proxy {
  readonly exited: Promise<ProxyExit>
  kill(): void
}

export interface SupervisorOptions {
  readonly proxy: Proxy
  /** POST /drain_listeners on the admin port. */
  readonly drain: (skipExit: boolean) => Promise<void>
  readonly terminationDrainMs: number
  readonly minimumDrainMs: number
  readonly exitOnZeroActiveConnections: boolean
  readonly readStats: ReadStats
  /** Stat names of listeners that are the proxy's own, not the pod's. */
  readonly ownListeners: ReadonlySet<string>
}

const ACTIVE_CONNECTION_CHECK_MS = 1000
const MAX_FAILED_CHECKS = 5

/**
 * Watches one proxy until it is gone. The ways out, as in Istio (pkg/envoy/agent.go):
 * the proxy ends by itself; /quitquitquit; SIGTERM (drain, wait, kill); /drain and then SIGTERM (kill at once, the
 * draining was done while the application went down).
 */
export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #stopping = Promise.withResolvers<void>()
  #skipDrain = false

  constructor(options: SupervisorOptions) {
    this.#options = options
  }

  /** Resolves to the status the agent exits with: the proxy's own when it ended by itself, else 0. */
  async run(): Promise<number> {
    const exited = this.#options.proxy.exited
    const exit = await Promise.race([exited, this.#stopping.promise])
    if (exit !== undefined) {
      if (exit.status === 0) log.info('Envoy exited normally')
      else reportCrash(exit)
      return exit.status
    }
    await this.#terminate(exited)
    log.info('Agent has successfully terminated')
    return 0
  }

  /** SIGTERM. A second one changes nothing, as in Istio: the drain has its length. */
  stop(): void {
    this.#stopping.resolve()
  }

  /** /quitquitquit: the end that follows is at once. */
  skipDrain(): void {
    this.#skipDrain = true
  }

  /** /drain, the preStop hook of native sidecars: drain now and for ever; the SIGTERM that follows ends at once. */
  async drainNow(): Promise<void> {
    log.info('Agent draining proxy')
    this.#skipDrain = true
    await this.#drain(true)
  }

  async #terminate(exited: Promise<ProxyExit>): Promise<void> {
    log.info('Agent draining Proxy for termination')
    if (this.#skipDrain) {
      log.info('Agent already drained, exiting immediately')
    } else {
      await this.#drain(false)
      const early = this.#options.exitOnZeroActiveConnections
        ? await this.#waitForConnections(exited)
        : await this.#waitForDrain(exited)
      if (early !== undefined) {
        log.info(`Envoy exited with status ${early.text}`)
        log.info('Graceful termination logic ended prematurely, envoy process terminated early')
        return
      }
    }
    log.warn('Aborting proxy')
    this.#options.proxy.kill()
    await exited
    log.info('Envoy aborted normally')
    log.warn('Aborted proxy instance')
  }

  async #drain(skipExit: boolean): Promise<void> {
    try {
      await this.#options.drain(skipExit)
    } catch (error) {
      log.warn(`Error in invoking drain listeners endpoint: ${(error as Error).message}`)
    }
  }

  async #waitForDrain(exited: Promise<ProxyExit>): Promise<ProxyExit | undefined> {
    log.info(`Graceful termination period is ${this.#options.terminationDrainMs / 1000}s, starting...`)
    const exit = await settledWithin(exited, this.#options.terminationDrainMs)
    if (exit === undefined) log.info('Graceful termination period complete, terminating remaining proxies.')
    return exit
  }

  async #waitForConnections(exited: Promise<ProxyExit>): Promise<ProxyExit | undefined> {
    const minimum = this.#options.minimumDrainMs
    log.info(`Agent draining proxy for ${minimum / 1000}s, then waiting for active connections to terminate...`)
    const early = await settledWithin(exited, minimum)
    if (early !== undefined) return early
    log.info('Checking for active connections...')
    // Five failed readings in a row mean the admin port is gone, and with it any hope of counting.
    for (let failures = 0; ; ) {
      const exit = await settledWithin(exited, ACTIVE_CONNECTION_CHECK_MS)
      if (exit !== undefined) return exit
      try {
        const active = this.#activeConnections(await this.#options.readStats('downstream_cx_active$'))
        failures = 0
        if (active === undefined) {
          log.info(
            'downstream_cx_active are not available. This either means there are no downstream connection established yet' +
              ' or the stats are not enabled. Skipping active connections check...',
          )
          return undefined
        }
        if (active === 0) {
          log.info('There are no more active connections. terminating proxy...')
          return undefined
        }
        log.info(`There are still ${active} active connections`)
      } catch (error) {
        log.error(`unable to get listener stats from Envoy : ${(error as Error).message}`)
        if (++failures === MAX_FAILED_CHECKS) {
          log.warn(
            `Graceful termination logic ended prematurely, error while obtaining downstream_cx_active stat (Max retry ${failures} exceeded)`,
          )
          return undefined
        }
        log.warn(`Retrying (${failures} attempt) to obtain active connections...`)
      }
    }
  }

  #activeConnections(text: string): number | undefined {
    if (text === '') return undefined
    let total = 0
    for (const [name, value] of parseStats(text)) {
      if (!name.startsWith('listener.') || name.startsWith('listener.envoy_internal_')) continue
      if (name.includes('worker_') || this.#options.ownListeners.has(name)) continue
      total += value
    }
    return total
  }
}

function reportCrash(exit: ProxyExit): void {
  if (exit.text === 'signal: killed') {
    log.warn('Envoy may have been out of memory killed. Check memory usage and limits.')
  }
  log.error(`Envoy exited with error: ${exit.text}`)
}

async function settledWithin(exited: Promise<ProxyExit>, ms: number): Promise<ProxyExit | undefined> {
  const timer = new AbortController()
  const timeout = sleep(Math.min(ms, LONGEST_TIMER_MS), undefined, { signal: timer.signal }).catch(() => undefined)
  const exit = await Promise.race([exited, timeout])
  timer.abort()
  return exit
}
