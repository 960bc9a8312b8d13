/**
 * Gates LIVE: the server is INITIALIZING until every target (clusters that warm, the first answers of xDS, listeners that wait for
 * routes or secrets) has reported ready (envoy/init/manager.h).
 */
export class InitManager {
  readonly #waiting = new Map<string, number>()
  #started = false
  #onReady: (() => void) | null = null

  /** Names still waited for, for /init_dump. */
  get waiting(): readonly string[] {
    return [...this.#waiting.keys()]
  }

  get done(): boolean {
    return this.#started && this.#waiting.size === 0
  }

  /** Registers a target; the returned function marks it ready (calling it twice is harmless). */
  add(name: string): () => void {
    this.#waiting.set(name, (this.#waiting.get(name) ?? 0) + 1)
    let called = false
    return () => {
      if (called) return
      called = true
      const left = (this.#waiting.get(name) ?? 1) - 1
      if (left <= 0) this.#waiting.delete(name)
      else this.#waiting.set(name, left)
      this.#check()
    }
  }

  /** All targets of the first round are registered: `ready` is called once, as soon as none is left. */
  start(ready: () => void): void {
    this.#started = true
    this.#onReady = ready
    this.#check()
  }

  #check(): void {
    if (!this.#started || this.#waiting.size > 0 || this.#onReady === null) return
    const ready = this.#onReady
    this.#onReady = null
    ready()
  }
}
