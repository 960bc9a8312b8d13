import type { HttpFilterServices } from '../../filter-factory.ts'
import type { ProviderConfig } from './config.ts'
import { JwtProvider } from './provider.ts'
import type { JwtAuthnStats } from './stats.ts'

/** The providers of a filter, by name and by issuer. */
export class ProviderSet {
  readonly stats: JwtAuthnStats
  readonly #services: HttpFilterServices
  readonly #byName = new Map<string, JwtProvider>()
  readonly #byIssuer = new Map<string, JwtProvider>()

  constructor(configs: readonly ProviderConfig[], services: HttpFilterServices, stats: JwtAuthnStats) {
    this.stats = stats
    this.#services = services
    for (const config of configs) {
      const provider = new JwtProvider(config, services, stats)
      this.#byName.set(config.name, provider)
      if (!this.#byIssuer.has(config.issuer)) this.#byIssuer.set(config.issuer, provider)
    }
  }

  get(name: string): JwtProvider {
    return this.#byName.get(name)!
  }

  all(): ProviderConfig[] {
    return [...this.#byName.values()].map(provider => provider.config)
  }

  /** The first one of that issuer, or the first that takes any. */
  ofIssuer(issuer: string): JwtProvider | null {
    return this.#byIssuer.get(issuer) ?? this.#byIssuer.get('') ?? null
  }

  wallMs(): number {
    return this.#services.clock.wall()
  }
}
