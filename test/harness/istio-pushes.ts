import { readFileSync } from 'node:fs'
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
  'ambient-httpbin-hbone',
] as const

export type PushType = 'CDS' | 'EDS' | 'LDS' | 'RDS'

export function readPush(push: (typeof PUSHES)[number], type: PushType): DeltaResponse {
  const file = join(import.meta.dirname, '../fixtures/istio/pushes', push, `${type}.pb.gz`)
  return decodeDeltaResponse(gunzipSync(readFileSync(file)))
}
