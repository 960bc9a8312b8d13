import { WireReader } from '../../config/wire-reader.ts'
import { take, text } from '../../xds/discovery-wire.ts'

/** One host of NDS (istio.networking.nds.v1.NameTable.NameInfo). */
export interface NameInfo {
  readonly ips: readonly string[]
  /** `Kubernetes`, `External`, … */
  readonly registry: string
  readonly shortname: string
  readonly namespace: string
  readonly altHosts: readonly string[]
}

/** Host name → what istiod knows of it. */
export type NameTable = ReadonlyMap<string, NameInfo>

/** By hand: the agent does without the descriptors of the proxy. Throws WireError on malformed bytes. */
export function decodeNameTable(bytes: Uint8Array): NameTable {
  const reader = new WireReader(bytes)
  const table = new Map<string, NameInfo>()
  while (reader.at < reader.end) {
    const tag = reader.uint32()
    if (tag === 0x0a) addEntry(table, take(reader))
    else reader.skip(tag & 7)
  }
  return table
}

/** `/debug/ndsz`: proto3 JSON, keys sorted as Go prints a map. */
export function nameTableJson(table: NameTable): string {
  if (table.size === 0) return '{}'
  const hosts = [...table].sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify({
    table: Object.fromEntries(hosts.map(([host, info]) => [host, nonDefault(info)])),
  })
}

function addEntry(table: Map<string, NameInfo>, bytes: Uint8Array): void {
  const reader = new WireReader(bytes)
  let host = ''
  let info = EMPTY
  while (reader.at < reader.end) {
    const tag = reader.uint32()
    if (tag === 0x0a) host = text(take(reader))
    else if (tag === 0x12) info = decodeInfo(take(reader))
    else reader.skip(tag & 7)
  }
  table.set(host, info)
}

const EMPTY: NameInfo = { ips: [], registry: '', shortname: '', namespace: '', altHosts: [] }

function decodeInfo(bytes: Uint8Array): NameInfo {
  const reader = new WireReader(bytes)
  const ips: string[] = []
  const altHosts: string[] = []
  const words = ['', '', '']
  while (reader.at < reader.end) {
    const tag = reader.uint32()
    if (tag === 0x0a) ips.push(text(take(reader)))
    else if (tag === 0x2a) altHosts.push(text(take(reader)))
    else if (tag === 0x12 || tag === 0x1a || tag === 0x22) words[(tag >> 3) - 2] = text(take(reader))
    else reader.skip(tag & 7)
  }
  return { ips, registry: words[0]!, shortname: words[1]!, namespace: words[2]!, altHosts }
}

function nonDefault(info: NameInfo): object {
  return Object.fromEntries(Object.entries(info).filter(([, value]) => value.length > 0))
}
