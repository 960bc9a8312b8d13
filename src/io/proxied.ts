import { isPipe } from './address.ts'
import type { Address, Connection } from './connection.ts'

/** A type-length-value of a PROXY header of version 2; `type` 0 … 255. */
export interface Tlv {
  readonly type: number
  readonly value: Uint8Array
}

const NO_TLVS: readonly Tlv[] = []

/** The connection that an upstream one is made for, as PROXY headers tell it (Envoy: ProxyProtocolData). */
export class Proxied {
  readonly source: Address
  readonly destination: Address
  readonly tlvs: readonly Tlv[]
  #key = ''

  /** The addresses are of one family of IP. */
  constructor(source: Address, destination: Address, tlvs: readonly Tlv[]) {
    this.source = source
    this.destination = destination
    this.tlvs = tlvs
  }

  /** Connections are shared among those for whom the same is told. Unlike Envoy's this has the TLVs, which may tell users apart. */
  get key(): string {
    if (this.#key === '') {
      this.#key = `${this.source.text}>${this.destination.text}`
      for (const { type, value } of this.tlvs) this.#key += ` ${type}:${Buffer.from(value).toString('base64')}`
    }
    return this.#key
  }
}

const NOWHERE: Address = { ip: '', port: 0, text: '' }

/** On a connection: what is made for it does not say so. */
export const UNTOLD = new Proxied(NOWHERE, NOWHERE, NO_TLVS)

/** What a PROXY header says of connections made for `c`: what came with it, or its own addresses. Null: nothing. */
export function proxiedFor(c: Connection | null): Proxied | null {
  if (c === null) return null
  c.proxied ??= ownAddresses(c)
  return c.proxied === UNTOLD ? null : c.proxied
}

/** The client that `c` has by itself; sockets of other families than IP have no addresses that the header could tell. */
export function ownAddresses({ remote, local }: Connection): Proxied {
  return isPipe(remote) || isPipe(local) ? UNTOLD : new Proxied(remote, local, NO_TLVS)
}
