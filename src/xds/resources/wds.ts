import { contentOf, eachField, utf8Of } from '../../config/wire-fields.ts'
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

/** Where their statistics stand, those of the subscription too. */
export const WORKLOAD_STATS = 'workload_discovery.'

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
  const texts = new Map<number, string>()
  const addresses: string[] = []
  let type: Workload['workloadType'] = 'deployment'
  let region = ''
  let zone = ''
  eachField(new WireReader(bytes), (field, content, number) => {
    if (field === 12) type = TYPES[number] ?? 'deployment'
    else if (field === 3) {
      const address = addressText(contentOf(content))
      if (address !== '' && addresses.length < MAX_ADDRESSES) addresses.push(address)
    } else if (field === 24) {
      eachField(content, (part, text) => {
        if (part === 1) region = utf8Of(text)
        else if (part === 2) zone = utf8Of(text)
      })
    } else if (TEXTS.has(field)) texts.set(field, utf8Of(content))
  })
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

/** '' for what is neither IPv4 nor IPv6. */
function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  return bytes.length === 16 ? ipAddress(decodeIpv6(bytes), 0).ip : ''
}
