import { isPipe } from '../io/address.ts'
import type { Address } from '../io/connection.ts'
import type { Listener } from './listener.ts'

/** The listeners of a worker by address, for use_original_dst: those with `bind_to_port: false` live only here. */
export class ListenerDirectory {
  readonly #byAddress = new Map<string, Listener>()

  add(listener: Listener): void {
    for (const { address, ipv4Compat } of listener.config.addresses) {
      this.#byAddress.set(address.text, listener)
      const wildcard = `0.0.0.0:${address.port}`
      // A dual-stack wildcard serves IPv4 too, unless a listener of its own does.
      if (ipv4Compat && address.ip === '::' && !this.#byAddress.has(wildcard)) this.#byAddress.set(wildcard, listener)
    }
  }

  /** Only what still points to `listener`: its successor may have taken the addresses over. */
  remove(listener: Listener): void {
    for (const [text, known] of this.#byAddress) if (known === listener) this.#byAddress.delete(text)
  }

  find(address: Address): Listener | null {
    const exact = this.#byAddress.get(address.text)
    if (exact !== undefined) return exact
    if (isPipe(address)) return null
    const wildcard = address.ip.includes(':') ? `[::]:${address.port}` : `0.0.0.0:${address.port}`
    return this.#byAddress.get(wildcard) ?? null
  }
}
