import { isPipe } from './address.ts'
import type { Address, Connection } from './connection.ts'

/** A type-length-value of a PROXY header of version 2; `type` 0 … 255. */
export interface Tlv {
  readonly type: number
  readonly value: Uint8Array
}

/** The connection that an upstream one is made for, as PROXY headers tell it (Envoy: ProxyProtocolData). */
export interface Proxied {
  readonly source: Address
  readonly destination: Address
  readonly tlvs: readonly Tlv[]
}

const NOWHERE: Address = { ip: '', port: 0, text: '' }

/** On a connection: what is made for it does not say so. */
export const UNTOLD: Proxied = { source: NOWHERE, destination: NOWHERE, tlvs: [] }

/** What a PROXY header says of connections made for `c`: what came with it, or its own addresses. Null: nothing. */
export function proxiedFor(c: Connection | null): Proxied | null {
  if (c === null) return null
  const known = c.proxied ?? null
  if (known !== null) return known === UNTOLD ? null : known
  const { remote, local } = c
  // Sockets of other families have no addresses that the header could tell.
  if (isPipe(remote) || isPipe(local) || remote.internal !== undefined || local.internal !== undefined) {
    c.proxied = UNTOLD
    return null
  }
  const made: Proxied = { source: remote, destination: local, tlvs: [] }
  c.proxied = made
  return made
}

/** Connections are shared among those for whom the same is told. Unlike Envoy's this has the TLVs, which may tell users apart. */
export function proxiedKey(proxied: Proxied | null): string {
  if (proxied === null) return ''
  let key = `${proxied.source.text}>${proxied.destination.text}`
  for (const { type, value } of proxied.tlvs) key += ` ${type}:${Buffer.from(value).toString('base64')}`
  return key
}
