import type { HttpFilterConfig } from './connection-manager-config.ts'
import type { HttpFilter } from './filter.ts'

/** Makes the runtime filter for a parsed one; given by whoever knows the extension list. */
export type CreateHttpFilter = (config: HttpFilterConfig, index: number) => HttpFilter

/** The filters of one connection manager, with a flag per hook so that chains without body filters skip the walk. */
export class HttpFilterChain {
  readonly filters: readonly HttpFilter[]
  readonly size: number
  /** Bit per filter: has the hook. */
  readonly decodesHeaders: number
  readonly decodesData: number
  readonly decodesTrailers: number
  readonly encodesHeaders: number
  readonly encodesData: number
  readonly encodesTrailers: number
  readonly destroys: number
  readonly states: number
  /** Bit per filter: off unless a route turns it on. */
  readonly disabledByDefault: number

  constructor(configs: readonly HttpFilterConfig[], create: CreateHttpFilter) {
    // Hooks are bits of one small integer; the configuration reader refuses longer chains.
    const filters = configs.slice(0, 30).map((config, i) => create(config, i))
    let disabled = 0
    for (let i = 0; i < filters.length; i++) {
      const filter = filters[i]!
      filter.index = i
      filter.name = configs[i]!.name
      if (configs[i]!.disabled) disabled |= 1 << i
    }
    this.filters = filters
    this.size = filters.length
    this.disabledByDefault = disabled
    this.decodesHeaders = hookBits(filters, 'decodeHeaders')
    this.decodesData = hookBits(filters, 'decodeData')
    this.decodesTrailers = hookBits(filters, 'decodeTrailers')
    this.encodesHeaders = hookBits(filters, 'encodeHeaders')
    this.encodesData = hookBits(filters, 'encodeData')
    this.encodesTrailers = hookBits(filters, 'encodeTrailers')
    this.destroys = hookBits(filters, 'onDestroy')
    this.states = hookBits(filters, 'newState')
  }
}

function hookBits(filters: readonly HttpFilter[], hook: keyof HttpFilter): number {
  let bits = 0
  for (let i = 0; i < filters.length; i++) if (filters[i]![hook] !== undefined) bits |= 1 << i
  return bits
}
