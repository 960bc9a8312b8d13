import { WireReader } from '../../config/wire-reader.ts'
import { ipAddress } from '../../io/address.ts'
import { decodeIpv6 } from '../../io/socket-address.ts'
import type { ResourceType } from './type.ts'

/** Workloads of an ambient mesh. */
export const WDS: ResourceType = {
  typeUrl: 'type.googleapis.com/istio.workload.Workload',
  typeName: 'istio.workload.Workload',
  word: 'Workload',
  nameField: 'uid',
  complete: false,
  // Read by hand below: a mesh has as many as it has pods, of which a proxy meets few.
  decodedLate: true,
  // Istio serves it over ADS only.
  method: '',
  deltaMethod: '',
}

/** A pod, or whatever else has addresses in a mesh. What its sender leaves out stands here as what it means. */
export interface Workload {
  readonly uid: string
  /** As sockets print them. */
  readonly addresses: readonly string[]
  readonly name: string
  readonly namespace: string
  readonly trustDomain: string
  readonly serviceAccount: string
  readonly canonicalName: string
  readonly canonicalRevision: string
  readonly workloadName: string
  readonly workloadType: 'deployment' | 'cronjob' | 'pod' | 'job'
  readonly clusterId: string
  readonly region: string
  readonly zone: string
}

const TYPES = ['deployment', 'cronjob', 'pod', 'job'] as const
/** More than a dual-stack pod on several networks has. */
const MAX_ADDRESSES = 16

/** istio.workload.Workload. @throws WireError */
export function readWorkload(bytes: Uint8Array): Workload {
  const reader = new WireReader(bytes)
  const texts = new Map<number, string>()
  const addresses: string[] = []
  let type: Workload['workloadType'] = 'deployment'
  let locality: Uint8Array = new Uint8Array(0)
  while (reader.at < reader.end) {
    const tag = reader.uint32()
    const number = tag >>> 3
    if (number === 12 && (tag & 7) === 0) {
      type = TYPES[reader.uint32()] ?? 'deployment'
      continue
    }
    if ((tag & 7) !== 2) {
      reader.skip(tag & 7)
      continue
    }
    const end = reader.delimited()
    const value = bytes.subarray(reader.at, end)
    reader.at = end
    if (number === 3) {
      const address = addressText(value)
      if (address !== '' && addresses.length < MAX_ADDRESSES) addresses.push(address)
    } else if (number === 24) locality = value
    else if (TEXTS.has(number)) texts.set(number, text(value))
  }
  const { region, zone } = readLocality(locality)
  return {
    uid: texts.get(20) ?? '',
    addresses,
    name: texts.get(1) ?? '',
    namespace: texts.get(2) || 'default',
    trustDomain: texts.get(6) || 'cluster.local',
    serviceAccount: texts.get(7) || 'default',
    canonicalName: texts.get(10) ?? '',
    canonicalRevision: texts.get(11) ?? '',
    workloadName: texts.get(13) ?? '',
    workloadType: type,
    clusterId: texts.get(18) ?? '',
    region,
    zone,
  }
}

const TEXTS = new Set([1, 2, 6, 7, 10, 11, 13, 18, 20])

/** Locality {region = 1, zone = 2} */
function readLocality(bytes: Uint8Array): { region: string; zone: string } {
  const reader = new WireReader(bytes)
  let region = ''
  let zone = ''
  while (reader.at < reader.end) {
    const tag = reader.uint32()
    if (tag !== 10 && tag !== 18) {
      reader.skip(tag & 7)
      continue
    }
    const end = reader.delimited()
    const value = text(bytes.subarray(reader.at, end))
    if (tag === 10) region = value
    else zone = value
    reader.at = end
  }
  return { region, zone }
}

/** '' for what is neither IPv4 nor IPv6. */
function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  return bytes.length === 16 ? ipAddress(decodeIpv6(bytes), 0).ip : ''
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')
}
