import type { HeaderBlock } from '../codec/header-block.ts'
import type { FormatContext, Formatter } from '../telemetry/format-context.ts'
import { compileFormatConfig } from '../telemetry/formatter.ts'
import type { StreamInfo } from '../telemetry/stream-info.ts'
import type { DecoratorConfig } from '../telemetry/tracing-config.ts'
import { TracingLevel } from '../telemetry/tracing-level.ts'
import { ClusterChoice } from './cluster-choice.ts'
import { HeaderMutation, joinMutations } from './header-mutation.ts'
import { CompiledRedirect } from './redirect.ts'
import type { DirectResponse, Redirect, Route, VirtualHost } from './route.ts'
import { ActionTemplate, type CompiledAction } from './route-action.ts'
import type {
  DirectResponseConfig,
  FilterOverridesConfig,
  JsonStruct,
  RouteConfig,
  RouteEntryConfig,
  WeightedClusterConfig,
} from './route-config.ts'
import type { RouteServices } from './route-table.ts'

/** What routes of one virtual host share. Mutations: most specific first (virtual host, route configuration). */
export interface RouteLevels {
  readonly routeConfig: RouteConfig
  readonly virtualHost: VirtualHost & { readonly config: { readonly filters: FilterOverridesConfig } }
  readonly requestMutations: readonly HeaderMutation[]
  readonly responseMutations: readonly HeaderMutation[]
}

/** One configured route. A request gets one of its `Route` variants: one per weighted cluster or cluster_header value. */
export class RouteEntry {
  readonly #variants: readonly CompiledRoute[]
  readonly #choice: ClusterChoice | null

  constructor(config: RouteEntryConfig, levels: RouteLevels, services: RouteServices) {
    const own = new HeaderMutation(config.headers.requestAdd, config.headers.requestRemove)
    const ownResponse = new HeaderMutation(config.headers.responseAdd, config.headers.responseRemove)
    const shared = new SharedRoute(config, levels, own, ownResponse)
    if (config.action === null) {
      this.#variants = [new CompiledRoute(shared, null, null)]
      this.#choice = null
      return
    }
    const template = new ActionTemplate(config.action, config.match, services)
    this.#choice = new ClusterChoice(config.action.cluster, template, services)
    this.#variants =
      config.action.cluster.kind === 'weighted'
        ? config.action.cluster.clusters.map(c => new CompiledRoute(shared, template.action(c.name, c), c))
        : config.action.cluster.kind === 'cluster'
          ? [new CompiledRoute(shared, template.action(config.action.cluster.name, null), null)]
          : [new CompiledRoute(shared, template.action('', null), null)]
  }

  /** The variant for this request. */
  choose(h: HeaderBlock, info: StreamInfo, random: number): Route {
    if (this.#choice === null) return this.#variants[0]!
    const variant = this.#variants[this.#choice.pick(h, info, random)]!
    const header = this.#choice.headerOf(variant.weighted)
    return header === '' ? variant : variant.withCluster(h.get(header) ?? '')
  }
}

/** The facts all variants of a route have in common. */
class SharedRoute {
  readonly config: RouteEntryConfig
  readonly levels: RouteLevels
  readonly request: HeaderMutation
  readonly response: HeaderMutation
  readonly redirect: Redirect | null
  readonly directResponse: DirectResponse | null
  readonly tracing: TracingLevel | null

  constructor(config: RouteEntryConfig, levels: RouteLevels, request: HeaderMutation, response: HeaderMutation) {
    this.config = config
    this.levels = levels
    this.request = request
    this.response = response
    this.redirect = config.redirect === null ? null : new CompiledRedirect(config.redirect, config.match)
    this.directResponse = config.directResponse === null ? null : new CompiledDirectResponse(config.directResponse)
    this.tracing = config.tracing === null ? null : new TracingLevel(config.tracing)
  }
}

/** cluster_header names come from clients: the cache of their variants is bounded. */
const MAX_HEADER_CLUSTERS = 256

class CompiledRoute implements Route {
  readonly name: string
  readonly virtualHost: VirtualHost
  readonly statPrefix: string
  readonly metadata: JsonStruct | null
  readonly redirect: Redirect | null
  readonly directResponse: DirectResponse | null
  readonly action: CompiledAction | null
  readonly tracing: TracingLevel | null
  readonly decorator: DecoratorConfig | null
  readonly nonForwarding: boolean
  readonly config: RouteEntryConfig
  /** The weighted cluster this variant stands for. */
  readonly weighted: WeightedClusterConfig | null
  readonly mayDisableFilters: boolean
  readonly #shared: SharedRoute
  readonly #request: readonly HeaderMutation[] | null
  readonly #response: readonly HeaderMutation[] | null
  /** Override levels, least specific first. */
  readonly #filters: readonly FilterOverridesConfig[]
  readonly #filterConfigs = new Map<string, readonly unknown[]>()
  #byCluster: Map<string, CompiledRoute> | null = null

  constructor(shared: SharedRoute, action: CompiledAction | null, weighted: WeightedClusterConfig | null) {
    const { config, levels } = shared
    this.#shared = shared
    this.config = config
    this.name = config.name
    this.virtualHost = levels.virtualHost
    this.statPrefix = config.statPrefix
    this.metadata = config.metadata
    this.redirect = shared.redirect
    this.directResponse = shared.directResponse
    this.action = action
    this.tracing = shared.tracing
    this.decorator = config.decorator
    this.nonForwarding = config.nonForwarding
    this.weighted = weighted
    const { request, response } = weightedMutations(weighted)
    const requestLevels = [shared.request, ...levels.requestMutations]
    const responseLevels = [shared.response, ...levels.responseMutations]
    // The level applied last wins an overwrite: by default the route configuration.
    if (levels.routeConfig.mostSpecificWins) {
      requestLevels.reverse()
      responseLevels.reverse()
    }
    // The weighted cluster comes first either way: the option does not reach it in Envoy.
    this.#request = joinMutations([...request, ...requestLevels])
    this.#response = joinMutations([...response, ...responseLevels])
    this.#filters = [levels.routeConfig.filters, levels.virtualHost.config.filters, config.filters]
    if (weighted !== null) this.#filters = [...this.#filters, weighted.filters]
    this.mayDisableFilters = this.#filters.some(level => Object.keys(level).length > 0)
  }

  filterConfig(filterName: string): unknown {
    const all = this.filterConfigs(filterName)
    return all[all.length - 1]
  }

  filterConfigs(filterName: string): readonly unknown[] {
    let all = this.#filterConfigs.get(filterName)
    if (all === undefined) {
      all = this.#filters.flatMap(level => {
        const override = Object.hasOwn(level, filterName) ? level[filterName] : undefined
        return override?.config === undefined ? [] : [override.config]
      })
      this.#filterConfigs.set(filterName, all)
    }
    return all
  }

  filterDisabled(filterName: string): boolean | undefined {
    for (let i = this.#filters.length - 1; i >= 0; i--) {
      const level = this.#filters[i]!
      if (!Object.hasOwn(level, filterName)) continue
      // A plain config says nothing about `disabled`, but asking for the filter enables it (Envoy: optional-by-default filters).
      return level[filterName]!.disabled ?? false
    }
    return undefined
  }

  mutateRequest(h: HeaderBlock, context: FormatContext): void {
    const levels = this.#request
    if (levels === null) return
    for (let i = 0; i < levels.length; i++) levels[i]!.apply(h, context)
  }

  mutateResponse(h: HeaderBlock, context: FormatContext): void {
    const levels = this.#response
    if (levels === null) return
    for (let i = 0; i < levels.length; i++) levels[i]!.apply(h, context)
  }

  /** The same route with the cluster a header names. */
  withCluster(name: string): CompiledRoute {
    if (name === '' || this.action === null) return this
    this.#byCluster ??= new Map()
    const known = this.#byCluster.get(name)
    if (known !== undefined) return known
    const made = new CompiledRoute(this.#shared, this.action.withCluster(name), this.weighted)
    if (this.#byCluster.size < MAX_HEADER_CLUSTERS) this.#byCluster.set(name, made)
    return made
  }
}

function weightedMutations(weighted: WeightedClusterConfig | null): {
  request: readonly HeaderMutation[]
  response: readonly HeaderMutation[]
} {
  if (weighted === null) return { request: [], response: [] }
  const { requestAdd, requestRemove, responseAdd, responseRemove } = weighted.headers
  return {
    request: [new HeaderMutation(requestAdd, requestRemove)],
    response: [new HeaderMutation(responseAdd, responseRemove)],
  }
}

class CompiledDirectResponse implements DirectResponse {
  readonly status: number
  readonly body: Uint8Array | null
  readonly contentType: string
  readonly #format: Formatter | null

  constructor(config: DirectResponseConfig) {
    this.status = config.status
    this.body = config.body
    this.#format = config.bodyFormat === null ? null : compileFormatConfig(config.bodyFormat)
    const json = config.bodyFormat !== null && config.bodyFormat.text === null
    this.contentType = config.bodyFormat?.contentType || (json ? 'application/json' : 'text/plain')
  }

  /** %LOCAL_REPLY_BODY% is the configured body. */
  format(context: FormatContext): string | null {
    if (this.#format === null) return null
    const { info, requestHeaders, responseHeaders, responseTrailers } = context
    const localReplyBody = this.body === null ? '' : Buffer.from(this.body).toString('latin1')
    return this.#format.format({ info, requestHeaders, responseHeaders, responseTrailers, localReplyBody })
  }
}

/** The route a virtual host with `require_tls` answers plain requests with. */
export function tlsRedirectRoute(levels: RouteLevels): Route {
  const none = { requestAdd: [], requestRemove: [], responseAdd: [], responseRemove: [] }
  const config: RouteEntryConfig = {
    name: '',
    match: {
      kind: 'prefix',
      text: '',
      caseSensitive: true,
      fraction: null,
      headers: [],
      query: [],
      cookies: [],
      grpc: false,
      tls: null,
      dynamicMetadata: [],
      filterState: [],
    },
    action: null,
    redirect: {
      code: 301,
      scheme: 'https',
      host: '',
      port: 0,
      path: '',
      prefixRewrite: '',
      regexRewrite: null,
      pathFormat: '',
      stripQuery: false,
    },
    directResponse: null,
    nonForwarding: false,
    metadata: null,
    headers: none,
    filters: {},
    statPrefix: '',
    tracing: null,
    decorator: null,
  }
  // Envoy's SslRedirectRoute has no mutations of its own nor of any level.
  const bare: RouteLevels = { ...levels, requestMutations: [], responseMutations: [] }
  const empty = new HeaderMutation([], [])
  return new CompiledRoute(new SharedRoute(config, bare, empty, empty), null, null)
}
