import type { FieldPath } from '../../config/field-path.ts'
import { type FilterStateValueConfig, parseFilterStateValues } from '../../config/filter-state-value.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { defineSupport } from '../../config/support.ts'
import { FilterStateValues } from '../../telemetry/filter-state-values.ts'
import { HeadersVerdict, type HttpFilter } from '../filter.ts'
import type { HttpFilterFactory } from '../filter-factory.ts'
import type { StreamContext } from '../stream-context.ts'

type Proto = envoy.extensions.filters.http.set_filter_state.v3.Config

const support = defineSupport<Proto>('envoy.extensions.filters.http.set_filter_state.v3.Config', {
  on_request_headers: 'yes',
  clear_route_cache: 'yes',
})

interface SetFilterStateConfig {
  readonly values: readonly FilterStateValueConfig[]
  readonly clearRouteCache: boolean
}

/** envoy.filters.http.set_filter_state */
export const setFilterStateFactory: HttpFilterFactory<Proto, SetFilterStateConfig> = {
  category: 'envoy.filters.http',
  name: 'envoy.filters.http.set_filter_state',
  typeUrls: ['envoy.extensions.filters.http.set_filter_state.v3.Config'],
  parse,
  overrideTypeUrls: ['envoy.extensions.filters.http.set_filter_state.v3.Config'],
  parseOverride: (proto, at, warnings) => parse(proto as Proto, at, warnings),
  create: config => new SetFilterState(config),
}

function parse(proto: Proto, at: FieldPath, warnings: string[]): SetFilterStateConfig {
  support.check(proto, at, warnings)
  return {
    values: parseFilterStateValues(proto.on_request_headers ?? [], at.field('on_request_headers'), warnings),
    clearRouteCache: proto.clear_route_cache ?? false,
  }
}

class SetFilterState implements HttpFilter {
  index = 0
  name = ''
  readonly #own: Compiled
  /** By identity of what a route says besides: it lives as long as its route table. */
  readonly #overrides = new WeakMap<SetFilterStateConfig, Compiled>()

  constructor(config: SetFilterStateConfig) {
    this.#own = new Compiled(config)
  }

  decodeHeaders(s: StreamContext): HeadersVerdict {
    const override = s.route()?.filterConfig(this.name) as SetFilterStateConfig | undefined
    this.#own.apply(s)
    if (override !== undefined) this.#overriding(override).apply(s)
    return HeadersVerdict.Continue
  }

  #overriding(config: SetFilterStateConfig): Compiled {
    let compiled = this.#overrides.get(config)
    if (compiled === undefined) {
      compiled = new Compiled(config)
      this.#overrides.set(config, compiled)
    }
    return compiled
  }
}

class Compiled {
  readonly #values: FilterStateValues
  readonly #clearRouteCache: boolean

  constructor(config: SetFilterStateConfig) {
    this.#values = new FilterStateValues(config.values)
    this.#clearRouteCache = config.clearRouteCache
  }

  apply(s: StreamContext): void {
    this.#values.apply(s)
    if (this.#clearRouteCache) s.clearRouteCache()
  }
}
