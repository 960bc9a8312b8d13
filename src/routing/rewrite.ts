import { compileRegex, type Regex } from '../base/regex.ts'
import type { HeaderBlock } from '../codec/header-block.ts'
import { TemplateRewrite } from '../config/uri-template.ts'
import type { FormatContext } from '../telemetry/format-context.ts'
import { compileFormat, type TextFormatter } from '../telemetry/formatter.ts'
import type { HostRewriteConfig, PathRewriteConfig, RegexRewriteConfig, RouteMatchConfig } from './route-config.ts'

/** Changes the path part of a request target; the query stays. */
export interface PathRewrite {
  /** The new target. */
  rewrite(target: string, h: HeaderBlock, context: FormatContext | null): string
}

export function compilePathRewrite(config: PathRewriteConfig, match: RouteMatchConfig): PathRewrite {
  switch (config.kind) {
    case 'prefix':
      return new PrefixRewrite(config.text, match)
    case 'regex':
      return new RegexPathRewrite(config.rewrite)
    case 'format':
      return new FormatRewrite(config.text)
    case 'template':
      return new TemplatePathRewrite(new TemplateRewrite(match.text, config.text))
  }
}

function pathEnd(target: string): number {
  const mark = target.indexOf('?')
  return mark < 0 ? target.length : mark
}

/** Replaces what the route matched: the prefix, or the whole path of exact and regex routes. */
class PrefixRewrite implements PathRewrite {
  readonly #text: string
  readonly #matched: number

  constructor(text: string, match: RouteMatchConfig) {
    this.#text = text
    this.#matched = match.kind === 'prefix' || match.kind === 'separated' ? match.text.length : -1
  }

  rewrite(target: string): string {
    return this.#text + target.slice(this.#matched < 0 ? pathEnd(target) : this.#matched)
  }
}

class RegexPathRewrite implements PathRewrite {
  readonly #regex: Regex
  readonly #substitution: string

  constructor(config: RegexRewriteConfig) {
    this.#regex = compileRegex(config.pattern)
    this.#substitution = config.substitution
  }

  rewrite(target: string): string {
    const end = pathEnd(target)
    return this.#regex.replaceAll(target.slice(0, end), this.#substitution) + target.slice(end)
  }
}

class TemplatePathRewrite implements PathRewrite {
  readonly #template: TemplateRewrite

  constructor(template: TemplateRewrite) {
    this.#template = template
  }

  rewrite(target: string): string {
    const end = pathEnd(target)
    return this.#template.rewrite(target.slice(0, end)) + target.slice(end)
  }
}

/** path_rewrite: missing values print nothing. */
class FormatRewrite implements PathRewrite {
  readonly #format: TextFormatter

  constructor(text: string) {
    this.#format = compileFormat(text, true)
  }

  rewrite(target: string, _h: HeaderBlock, context: FormatContext | null): string {
    const path = this.#format.constant ?? (context === null ? '' : this.#format.format(context))
    return path === '' ? target : path + target.slice(pathEnd(target))
  }
}

/** The new authority; '' = leave it. `auto` needs the chosen host's name. */
export class HostRewrite {
  readonly #config: HostRewriteConfig
  readonly #regex: Regex | null
  readonly #format: TextFormatter | null

  constructor(config: HostRewriteConfig) {
    this.#config = config
    this.#regex = config.kind === 'pathRegex' ? compileRegex(config.rewrite.pattern) : null
    // Here missing values print `-`, unlike in path_rewrite.
    this.#format = config.kind === 'format' ? compileFormat(config.text) : null
  }

  host(h: HeaderBlock, context: FormatContext, upstreamHostname: string): string {
    const config = this.#config
    switch (config.kind) {
      case 'literal':
        return config.text
      case 'header':
        return h.get(config.name) ?? ''
      case 'auto':
        return upstreamHostname
      case 'pathRegex':
        return this.#regex!.replaceAll(h.path.slice(0, pathEnd(h.path)), config.rewrite.substitution)
      case 'format':
        return this.#format!.format(context)
    }
  }
}
