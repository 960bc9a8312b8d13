import { Authenticator, type AuthenticatorUser } from './authenticator.ts'
import type { ProviderConfig, RequirementConfig } from './config.ts'
import { Extractor } from './extractor.ts'
import { AudienceCheck, type JwtProvider } from './provider.ts'
import type { ProviderSet } from './provider-set.ts'
import { JwtStatus } from './status.ts'
import type { Verification } from './verification.ts'

/** A requirement ready to run (verifier.cc). Nodes know their parent and tell it how they ended, now or later. */
export class RequirementTree {
  readonly root: Node
  readonly size: number

  constructor(config: RequirementConfig, providers: ProviderSet) {
    const builder = new Builder(providers)
    this.root = builder.node(config, null, null)
    this.size = builder.count
  }
}

class Builder {
  count = 0
  readonly #providers: ProviderSet

  constructor(providers: ProviderSet) {
    this.#providers = providers
  }

  /** `siblings`: providers whose tokens the "allow" nodes of an `any` look at; null = all. */
  node(config: RequirementConfig, parent: Group | null, siblings: readonly ProviderConfig[] | null): Node {
    const id = this.count++
    const providers = this.#providers
    switch (config.kind) {
      case 'provider': {
        const provider = providers.get(config.provider)
        const audiences = config.audiences.length === 0 ? null : new AudienceCheck(config.audiences)
        const extractor = new Extractor([provider.config])
        return new TokenNode(id, parent, providers, provider, audiences, 'none', extractor)
      }
      case 'allowMissing':
      case 'allowFailed': {
        const extractor = new Extractor(siblings ?? providers.all())
        const allow = config.kind === 'allowMissing' ? 'missing' : 'failed'
        return new TokenNode(id, parent, providers, null, null, allow, extractor)
      }
      case 'none':
        return new AllowAll(id, parent)
      case 'all': {
        const group = new Group(id, parent, false)
        for (const inner of config.of) group.children.push(this.node(inner, group, null))
        return group
      }
      case 'any': {
        const group = new Group(id, parent, true)
        const used: ProviderConfig[] = []
        let allow: RequirementConfig | null = null
        for (const inner of config.of) {
          if (inner.kind === 'allowMissing' || inner.kind === 'allowFailed') {
            // One of them is enough, and it comes last; the one that allows more wins.
            if (allow === null || allow.kind === 'allowMissing') allow = inner
            continue
          }
          if (inner.kind === 'provider') used.push(providers.get(inner.provider).config)
          group.children.push(this.node(inner, group, null))
        }
        if (allow !== null) group.children.push(this.node(allow, group, used))
        return group
      }
    }
  }
}

abstract class Node {
  readonly id: number
  readonly #parent: Group | null

  constructor(id: number, parent: Group | null) {
    this.id = id
    this.#parent = parent
  }

  abstract verify(v: Verification): void

  protected answer(v: Verification, status: number): void {
    if (v.answered[this.id] === -1) return
    v.answered[this.id] = -1
    if (this.#parent === null) v.end(status)
    else this.#parent.onChild(v, status)
  }
}

class AllowAll extends Node {
  override verify(v: Verification): void {
    this.answer(v, JwtStatus.Ok)
  }
}

class TokenNode extends Node implements AuthenticatorUser {
  readonly #providers: ProviderSet
  readonly #provider: JwtProvider | null
  readonly #audiences: AudienceCheck | null
  readonly #allow: 'none' | 'missing' | 'failed'
  readonly #extractor: Extractor

  constructor(
    id: number,
    parent: Group | null,
    providers: ProviderSet,
    provider: JwtProvider | null,
    audiences: AudienceCheck | null,
    allow: 'none' | 'missing' | 'failed',
    extractor: Extractor,
  ) {
    super(id, parent)
    this.#providers = providers
    this.#provider = provider
    this.#audiences = audiences
    this.#allow = allow
    this.#extractor = extractor
  }

  override verify(v: Verification): void {
    const h = v.stream.requestHeaders!
    this.#extractor.sanitize(h)
    const tokens = this.#extractor.extract(h)
    v.run(new Authenticator(v, this, this.#providers, this.#provider, this.#audiences, this.#allow, tokens))
  }

  onAuthenticated(status: number, v: Verification): void {
    this.answer(v, status)
  }
}

/** requires_any or requires_all. */
class Group extends Node {
  readonly children: Node[] = []
  readonly #any: boolean

  constructor(id: number, parent: Group | null, any: boolean) {
    super(id, parent)
    this.#any = any
  }

  override verify(v: Verification): void {
    for (let i = 0; i < this.children.length && v.answered[this.id] !== -1; i++) this.children[i]!.verify(v)
  }

  onChild(v: Verification, status: number): void {
    const { id } = this
    if (v.answered[id] === -1) return
    const last = ++v.answered[id]! === this.children.length
    if (!this.#any) {
      if (last || status !== JwtStatus.Ok) this.answer(v, status)
      return
    }
    if (status === JwtStatus.Ok) {
      this.answer(v, status)
      return
    }
    v.worst[id] = worse(v.worst[id]!, status)
    if (last) this.answer(v, v.worst[id]!)
  }
}

/** A token that was there and bad says more than one that is missing or of a foreign issuer. */
function worse(known: number, status: number): number {
  if (known === JwtStatus.Ok || known === JwtStatus.JwtMissed) return status
  if (known === JwtStatus.JwtUnknownIssuer && status !== JwtStatus.JwtMissed) return status
  return known
}
