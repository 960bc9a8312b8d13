/**
 * Compares proto/descriptors.jsonl with the configuration types that the real Envoy registers (test/fixtures/envoy/extensions.json).
 * Usage: node scripts/descriptor-coverage.ts. Exits 1 when a type is missing.
 */
import { readFileSync } from 'node:fs'
import { hasMessageType, wellKnownHolder } from '../src/config/descriptors.ts'

interface Registered {
  readonly extensions: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>
}

const path = new URL('../test/fixtures/envoy/extensions.json', import.meta.url)
const { extensions } = JSON.parse(readFileSync(path, 'utf8')) as Registered
const types = new Map<string, string>()
for (const [category, names] of Object.entries(extensions)) {
  for (const list of Object.values(names)) for (const type of list) types.set(type, category)
}
const missing = [...types].filter(([type]) => !hasMessageType(type) && wellKnownHolder(type) === null)
console.log(
  `${types.size - missing.length} of ${types.size} registered configuration types are in proto/descriptors.jsonl`,
)
for (const [type, category] of missing) console.log(`missing: ${type} (${category})`)

/** Istio's own types, which no Envoy binary registers. */
const ISTIO = [
  'stats.PluginConfig',
  'io.istio.http.peer_metadata.Config',
  'istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig',
  'envoy.tcp.metadataexchange.config.MetadataExchange',
  'io.istio.http.connect_authority.Config',
  'istio.set_internal_dst_address.v1.Config',
  'istio.networking.nds.v1.NameTable',
  'istio.workload.Address',
]
const lost = ISTIO.filter(type => !hasMessageType(type))
console.log(`${ISTIO.length - lost.length} of ${ISTIO.length} Istio types`)
for (const type of lost) console.log(`missing: ${type}`)
process.exitCode = missing.length + lost.length > 0 ? 1 : 0
