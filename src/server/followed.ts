/** Something followed by name for listeners and clusters: a route configuration, a secret, a filter's configuration. */
export class Followed<U = null> {
  /** Each version of a listener or cluster for itself: the old one goes on needing it while it drains. */
  readonly users = new Map<object, U>()
  /** Ends the subscription. */
  close: () => void = () => {}
  readonly #waiting: (() => void)[] = []
  #settled = false

  /** It arrived, or is not waited for any longer. */
  get settled(): boolean {
    return this.#settled
  }

  settle(): void {
    if (this.#settled) return
    this.#settled = true
    for (const waiter of this.#waiting.splice(0)) waiter()
  }

  whenSettled(waiter: () => void): void {
    this.#waiting.push(waiter)
  }
}
