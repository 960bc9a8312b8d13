import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { type DeltaResponse, decodeDeltaResponse } from '../../src/xds/delta-wire.ts'

/** What a real istiod sent to proxies of a lab, per xDS type, as DeltaDiscoveryResponse bytes. */
export const PUSHES = [
  'base-default-sleep',
  'default-sleep',
  'default-httpbin',
  'default-gw',
  'default-sleep-mode-TPROXY',
  'default-sleep-mode-NONE',
  'ambient-httpbin-hbone',
  'ambient-sleep-hbone',
  'waypoint',
  'waypoint-baggage',
  'ambient-mesh-sleep',
  'ambient-mesh-httpbin',
] as const

/** NDS is for the agent; WDS are the workloads of an ambient mesh. */
export type PushType = 'CDS' | 'EDS' | 'LDS' | 'RDS' | 'NDS' | 'WDS'

export type PushName = (typeof PUSHES)[number] | 'default-sleep-sotw'

/** What a proxy does not ask for, or istiod has nothing of, is not there. */
export function hasPush(push: PushName, type: PushType): boolean {
  return existsSync(fileOf(push, type))
}

/** The response as it was on the wire. `default-sleep-sotw` is a DiscoveryResponse. */
export function pushBytes(push: PushName, type: PushType): Buffer {
  return gunzipSync(readFileSync(fileOf(push, type)))
}

function fileOf(push: PushName, type: PushType): string {
  return join(import.meta.dirname, '../fixtures/istio/pushes', push, `${type}.pb.gz`)
}

export function readPush(push: (typeof PUSHES)[number], type: PushType): DeltaResponse {
  return decodeDeltaResponse(pushBytes(push, type))
}

/** What later work brings: taken out of the listeners, so that everything else of them is held to being accepted. */
export const NOT_YET = ['envoy.extensions.filters.http.lua.v3.Lua']

/** The message without elements of lists that stand for what is not there yet; the same object when there are none. */
export function withoutNotYet(value: unknown): unknown {
  if (Array.isArray(value)) {
    const kept = value.filter(item => !isNotYet(item)).map(withoutNotYet)
    return kept.length === value.length && kept.every((item, i) => item === value[i]) ? value : kept
  }
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  const entries = Object.entries(value)
  const kept = entries.map(([key, inner]) => [key, withoutNotYet(inner)] as const)
  return kept.every(([, inner], i) => inner === entries[i]![1]) ? value : Object.fromEntries(kept)
}

function isNotYet(item: unknown): boolean {
  if (typeof item !== 'object' || item === null) return false
  const { typed_config: any, config_discovery } = item as Record<string, unknown>
  // Extension configuration by ECDS: Wasm.
  if (config_discovery !== undefined) return true
  const url = (any as { type_url?: string } | undefined)?.type_url ?? ''
  return NOT_YET.some(type => url.endsWith(`/${type}`))
}
