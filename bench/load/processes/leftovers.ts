import { rmSync } from 'node:fs'

interface Stoppable {
  stop(): Promise<unknown>
}

/**
 * What must not outlive this process, from the moment that it is there: SIGINT and SIGTERM may come while a proxy starts,
 * and nobody holds it yet. They end everything and then this process, with status 130.
 */
export class Leftovers {
  private readonly running = new Set<Stoppable>()
  private readonly folders = new Set<string>()
  private ending: Promise<never> | null = null
  private readonly end = (): void => {
    this.ending ??= this.endAll()
  }

  constructor() {
    process.on('SIGINT', this.end).on('SIGTERM', this.end)
  }

  add(one: Stoppable): void {
    this.running.add(one)
    if (this.ending !== null) void one.stop()
  }

  addFolder(path: string): void {
    this.folders.add(path)
  }

  /**
   * Signals have their usual effect from here on; for when everything is ended. After a signal it never resolves, as whoever
   * waits here saw the proxies die, and would report that with another status.
   */
  async release(): Promise<void> {
    if (this.ending !== null) await this.ending
    process.off('SIGINT', this.end).off('SIGTERM', this.end)
  }

  private async endAll(): Promise<never> {
    await Promise.allSettled([...this.running].map(one => one.stop()))
    for (const folder of this.folders) rmSync(folder, { recursive: true, force: true })
    process.exit(130)
  }
}
