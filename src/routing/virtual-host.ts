import type { HeaderBlock } from '../codec/header-block.ts'
import { allHeadersMatch, compileHeaderMatches, type HeaderMatch } from '../config/header-match.ts'
import type { StreamInfo } from '../telemetry/stream-info.ts'
import { HeaderMutation } from './header-mutation.ts'
import { Mismatch, RouteMatcher } from './match.ts'
import { RateLimit } from './rate-limit.ts'
import type { Route, VirtualHost } from './route.ts'
import type { RouteConfig, RouteMatchConfig, VirtualHostConfig } from './route-config.ts'
import { RouteEntry, type RouteLevels, tlsRedirectRoute } from './route-entry.ts'
import { RouteIndex } from './route-index.ts'
import type { RouteServices, RouteTraceEntry } from './route-table.ts'

/** A virtual host with its routes in order. */
export class VirtualHostTable implements VirtualHost {
  readonly name: string
  readonly config: VirtualHostConfig
  readonly metadata: VirtualHostConfig['metadata']
  readonly rateLimits: readonly RateLimit[]
  readonly includeRequestAttemptCount: boolean
  readonly includeAttemptCountInResponse: boolean
  readonly includeIsTimeoutRetryHeader: boolean
  readonly #requireTls: VirtualHostConfig['requireTls']
  readonly #tlsRedirect: Route | null
  readonly #matchers: readonly RouteMatcher[]
  readonly #entries: (RouteEntry | null)[]
  readonly #index: RouteIndex
  readonly #pathless: boolean
  readonly #virtualClusters: readonly { readonly name: string; readonly headers: readonly HeaderMatch[] }[]
  readonly #levels: RouteLevels
  readonly #services: RouteServices

  constructor(routeConfig: RouteConfig, config: VirtualHostConfig, services: RouteServices) {
    this.name = config.name
    this.config = config
    this.metadata = config.metadata
    this.rateLimits = config.rateLimits.map(limit => new RateLimit(limit))
    this.includeRequestAttemptCount = config.includeRequestAttemptCount
    this.includeAttemptCountInResponse = config.includeAttemptCountInResponse
    this.includeIsTimeoutRetryHeader = config.includeIsTimeoutRetryHeader
    this.#services = services
    this.#matchers = config.routes.map(route => new RouteMatcher(route.match, services.runtime))
    this.#entries = config.routes.map(() => null)
    this.#index = new RouteIndex(config.routes.map(route => route.match))
    this.#pathless = config.routes.some(route => route.match.kind === 'connect')
    this.#virtualClusters = config.virtualClusters.map(c => ({
      name: c.name,
      headers: compileHeaderMatches(c.headers),
    }))
    this.#levels = {
      routeConfig,
      virtualHost: this,
      requestMutations: [
        new HeaderMutation(config.headers.requestAdd, config.headers.requestRemove),
        new HeaderMutation(routeConfig.headers.requestAdd, routeConfig.headers.requestRemove),
      ],
      responseMutations: [
        new HeaderMutation(config.headers.responseAdd, config.headers.responseRemove),
        new HeaderMutation(routeConfig.headers.responseAdd, routeConfig.headers.responseRemove),
      ],
    }
    this.#requireTls = config.requireTls
    this.#tlsRedirect = config.requireTls === 'none' ? null : tlsRedirectRoute(this.#levels)
  }

  virtualCluster(h: HeaderBlock): string | null {
    for (let i = 0; i < this.#virtualClusters.length; i++) {
      const cluster = this.#virtualClusters[i]!
      if (allHeadersMatch(cluster.headers, h)) return cluster.name
    }
    // Envoy's catch-all when a virtual host has any.
    return this.#virtualClusters.length === 0 ? null : 'other'
  }

  /** First route that matches. With `trace` every route asked is noted. */
  route(path: string, h: HeaderBlock, info: StreamInfo, random: number, trace: RouteTraceEntry[] | null): Route | null {
    if (this.#tlsRedirect !== null) {
      const proto = h.get('x-forwarded-proto')
      if (proto === undefined) return null
      if (proto !== 'https' && (this.#requireTls === 'all' || h.get('x-envoy-internal') !== 'true')) {
        return this.#tlsRedirect
      }
    }
    if (path === '' && !this.#pathless) return null
    if (trace !== null) return this.#traced(path, h, info, random, trace)
    const cursor = this.#index.candidates(path)
    if (cursor === null) {
      for (let i = 0; i < this.#matchers.length; i++) {
        if (this.#matchers[i]!.check(path, h, info, random) === Mismatch.None)
          return this.#entry(i).choose(h, info, random)
      }
      return null
    }
    for (let n = 0; n < cursor.length; n++) {
      const i = cursor.at(n)
      if (this.#matchers[i]!.check(path, h, info, random) === Mismatch.None)
        return this.#entry(i).choose(h, info, random)
    }
    return null
  }

  #traced(path: string, h: HeaderBlock, info: StreamInfo, random: number, trace: RouteTraceEntry[]): Route | null {
    for (let i = 0; i < this.#matchers.length; i++) {
      const mismatch = this.#matchers[i]!.check(path, h, info, random)
      const routeName = this.config.routes[i]!.name
      trace.push({ virtualHost: this.name, routeIndex: i, routeName, mismatch })
      if (mismatch === Mismatch.None) return this.#entry(i).choose(h, info, random)
    }
    return null
  }

  /** Actions are compiled when a request first takes them. */
  #entry(i: number): RouteEntry {
    let entry = this.#entries[i] ?? null
    if (entry === null) {
      entry = new RouteEntry(this.config.routes[i]!, this.#levels, this.#services)
      this.#entries[i] = entry
    }
    return entry
  }
}

export type { RouteMatchConfig }
