import { cut, narrowList } from '../../base/list.ts'
import type { UpstreamRequest } from './upstream-request.ts'

/** The attempts of one request that are under way: one, or several while hedging. */
export class Attempts {
  readonly list: UpstreamRequest[] = narrowList()

  remove(attempt: UpstreamRequest): void {
    const { list } = this
    // Nearly always the only one; `splice` makes a list of what it takes out and gives the memory of this one away.
    if (list[list.length - 1] === attempt) {
      list.pop()
      return
    }
    const at = list.indexOf(attempt)
    if (at >= 0) list.splice(at, 1)
  }

  drop(attempt: UpstreamRequest): void {
    this.remove(attempt)
    attempt.abort()
  }

  /** Drops all but `keep`; null = all. */
  dropOthers(keep: UpstreamRequest | null): void {
    for (let i = this.list.length - 1; i >= 0; i--) {
      const attempt = this.list[i]!
      if (attempt !== keep) this.drop(attempt)
    }
  }

  /** Some attempt cannot take the body yet: it has no stream, or its upstream has not agreed to the upgrade. */
  get waiting(): boolean {
    for (let i = 0; i < this.list.length; i++) if (!this.list[i]!.takesBody) return true
    return false
  }

  /** Some attempt waits for its response head. */
  get unanswered(): boolean {
    for (let i = 0; i < this.list.length; i++) if (!this.list[i]!.headersSeen) return true
    return false
  }

  /** The stream is over. */
  end(): void {
    for (let i = 0; i < this.list.length; i++) this.list[i]!.abort()
    cut(this.list, 0)
  }
}
