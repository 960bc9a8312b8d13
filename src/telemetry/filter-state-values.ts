import type { FilterStateValueConfig, StateObjectKind } from '../config/filter-state-value.ts'
import { parseHostPort } from '../io/address.ts'
import type { Address } from '../io/connection.ts'
import type { FormatContext, Formatter } from './format-context.ts'
import type { StateObject } from './format-operators-metadata.ts'
import { compileFormatConfig } from './formatter.ts'

/** An address in the filter state (Network::AddressObject). */
export class AddressState implements StateObject {
  readonly address: Address

  constructor(address: Address) {
    this.address = address
  }

  /** It has no typed form: only PLAIN prints it. */
  toJSON(): null {
    return null
  }

  toString(): string {
    return this.address.text
  }
}

/** The values of set_filter_state on a worker: sets them in order, so that a later one may read an earlier one. */
export class FilterStateValues {
  readonly #values: readonly FilterStateValueConfig[]
  readonly #formats: readonly Formatter[]

  constructor(values: readonly FilterStateValueConfig[]) {
    this.#values = values
    this.#formats = values.map(value => compileFormatConfig(value.format))
  }

  apply(context: FormatContext): void {
    for (let i = 0; i < this.#values.length; i++) {
      const { key, kind, sharing, skipIfEmpty } = this.#values[i]!
      // Lines are latin1: each of their characters is one byte of the text.
      const text = Buffer.from(this.#formats[i]!.format(context), 'latin1').toString('utf8')
      if (text === '' && skipIfEmpty) continue
      const value = stateObject(kind, text)
      // What is no address is not set: whoever asks for it goes without.
      if (value === null) continue
      const poolKey = kind === 'string' ? '' : `${key}=${text}`
      context.info.setFilterState(key, value, sharing, poolKey)
    }
  }
}

function stateObject(kind: StateObjectKind, text: string): unknown {
  if (kind !== 'address') return text
  const address = parseHostPort(text)
  return address === null ? null : new AddressState(address)
}
