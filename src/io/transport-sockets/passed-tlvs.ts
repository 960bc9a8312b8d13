import type { FieldPath } from '../../config/field-path.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { defineSupport } from '../../config/support.ts'

type Proto = envoy.config.core.v3.ProxyProtocolPassThroughTLVs

const support = defineSupport<Proto>('envoy.config.core.v3.ProxyProtocolPassThroughTLVs', {
  match_type: 'yes',
  tlv_type: 'yes',
})

/** Which TLVs of a PROXY header are kept (downstream) or told on (upstream): all, or those of these types. */
export type PassedTlvs = 'all' | readonly number[]

/** Absent: none. */
export function parsePassedTlvs(proto: Proto | undefined, at: FieldPath, warnings: string[]): PassedTlvs {
  if (proto === undefined) return []
  support.check(proto, at, warnings)
  return proto.match_type === 'INCLUDE' ? (proto.tlv_type ?? []) : 'all'
}

export function isPassed(passed: PassedTlvs, type: number): boolean {
  return passed === 'all' || passed.includes(type)
}
