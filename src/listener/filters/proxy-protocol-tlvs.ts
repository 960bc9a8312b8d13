import type { Connection } from '../../io/connection.ts'
import type { Tlv } from '../../io/proxied.ts'
import { connectionInfo } from '../../telemetry/connection-info.ts'
import type { StateObject } from '../../telemetry/format-operators-metadata.ts'
import { validUtf8 } from '../../telemetry/valid-utf8.ts'

/** Keeps the value of a TLV of this type. */
export interface TlvRule {
  readonly type: number
  readonly namespace: string
  readonly key: string
  /** The value is kept so; else as text, with `!` for what is no UTF-8. */
  readonly base64: boolean
}

/** The object of the filter state that holds the values: name of Envoy. */
const TLV_STATE = 'envoy.network.proxy_protocol.tlv'

/** The facts of the connection get the values of the TLVs there are rules for. Of several rules for a type the last one counts. */
export function applyTlvRules(
  connection: Connection,
  tlvs: readonly Tlv[],
  { rules, rulesTo }: { readonly rules: readonly TlvRule[]; readonly rulesTo: 'metadata' | 'state' },
): void {
  if (rules.length === 0 || tlvs.length === 0) return
  const info = connectionInfo(connection)
  const state = new Map<string, string>()
  for (const tlv of tlvs) {
    const rule = rules.findLast(({ type }) => type === tlv.type)
    if (rule === undefined) continue
    const value = textOf(tlv.value, rule.base64)
    // As Envoy: among TLVs of one type the metadata has the first, the filter state the last.
    if (rulesTo === 'state') state.set(rule.key, value)
    else if (!Object.hasOwn(info.dynamicMetadata?.[rule.namespace] ?? {}, rule.key))
      info.mergeMetadata(rule.namespace, { [rule.key]: value })
  }
  if (state.size > 0) info.setFilterState(TLV_STATE, new TlvState(state), 'none', '')
}

function textOf(value: Uint8Array, base64: boolean): string {
  const bytes = Buffer.from(value)
  return base64 ? bytes.toString('base64') : Buffer.from(validUtf8(bytes.toString('latin1')), 'latin1').toString('utf8')
}

class TlvState implements StateObject {
  readonly #values: ReadonlyMap<string, string>

  constructor(values: ReadonlyMap<string, string>) {
    this.#values = values
  }

  toJSON(): object {
    return Object.fromEntries([...this.#values].sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  toString(): string {
    return JSON.stringify(this)
  }

  field(name: string): string | undefined {
    return this.#values.get(name)
  }
}
