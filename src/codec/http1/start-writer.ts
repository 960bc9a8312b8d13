import { flat } from '../../base/flat.ts'

/** Longer ones are put together each time: a connection that waits must not hold much. */
const MAX_KEPT = 512

/**
 * Request line and Host of the requests that one connection sends, kept as one text while they stay the same. What comes once is
 * not worth a copy: the second of a kind is kept.
 */
export class StartWriter {
  readonly #hostName: string
  #method = ''
  #target = ''
  #host = ''
  #text = ''

  /** `hostName`: how `host` is spelled on the wire. */
  constructor(hostName: string) {
    this.#hostName = hostName
  }

  write(method: string, target: string, host: string): string {
    if (target === this.#target && host === this.#host && method === this.#method) {
      if (this.#text === '') this.#keep(method, target, host)
      return this.#text
    }
    this.#text = ''
    if (target.length + host.length <= MAX_KEPT) {
      this.#method = method
      this.#target = target
      this.#host = host
    }
    return this.#make(method, target, host)
  }

  /** Of its own memory, not of the head that a target or host was cut out of. */
  #keep(method: string, target: string, host: string): void {
    const text = flat(this.#make(method, target, host))
    const hostAt = text.length - 2 - host.length
    this.#text = text
    this.#target = text.slice(method.length + 1, method.length + 1 + target.length)
    this.#host = text.slice(hostAt, hostAt + host.length)
  }

  #make(method: string, target: string, host: string): string {
    return `${method} ${target} HTTP/1.1\r\n${this.#hostName}: ${host}\r\n`
  }
}
