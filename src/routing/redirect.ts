import type { HeaderBlock } from '../codec/header-block.ts'
import type { FormatContext } from '../telemetry/format-context.ts'
import { compilePathRewrite, type PathRewrite } from './rewrite.ts'
import type { Redirect } from './route.ts'
import type { RedirectConfig, RouteMatchConfig } from './route-config.ts'

/** RouteEntryImplBase::newUri: an absolute URI from the request and what the action replaces. */
export class CompiledRedirect implements Redirect {
  readonly code: number
  readonly #config: RedirectConfig
  readonly #rewrite: PathRewrite | null

  constructor(config: RedirectConfig, match: RouteMatchConfig) {
    this.code = config.code
    this.#config = config
    this.#rewrite = pathRewrite(config, match)
  }

  location(h: HeaderBlock, context: FormatContext | null = null): string {
    const config = this.#config
    const proto = h.get('x-forwarded-proto') ?? h.scheme
    const scheme = config.scheme === '' ? proto : config.scheme
    const host = config.host === '' ? requestHost(h.authority, proto, scheme, config.port) : config.host
    const port = config.port === 0 ? '' : `:${config.port}`
    return `${scheme}://${host}${port}${this.#path(h, context)}`
  }

  rewrittenPath(h: HeaderBlock, context: FormatContext | null = null): string {
    return this.#config.path !== '' || this.#rewrite === null ? '' : this.#rewrite.rewrite(h.path, h, context)
  }

  #path(h: HeaderBlock, context: FormatContext | null): string {
    const config = this.#config
    const mark = h.path.indexOf('?')
    if (config.path !== '') {
      // Its own query wins over the request's, whatever strip_query says.
      if (config.path.includes('?') || mark < 0 || config.stripQuery) return config.path
      return config.path + h.path.slice(mark)
    }
    const path = this.#rewrite === null ? h.path : this.#rewrite.rewrite(h.path, h, context)
    if (!config.stripQuery) return path
    const end = path.indexOf('?')
    return end < 0 ? path : path.slice(0, end)
  }
}

function pathRewrite(config: RedirectConfig, match: RouteMatchConfig): PathRewrite | null {
  if (config.prefixRewrite !== '') return compilePathRewrite({ kind: 'prefix', text: config.prefixRewrite }, match)
  if (config.regexRewrite !== null) return compilePathRewrite({ kind: 'regex', rewrite: config.regexRewrite }, match)
  return config.pathFormat === '' ? null : compilePathRewrite({ kind: 'format', text: config.pathFormat }, match)
}

/** The request's host without its port when another port is wanted, or when it was the default port of the scheme left. */
function requestHost(host: string, proto: string, scheme: string, port: number): string {
  const colon = host.startsWith('[') ? portAfterBracket(host) : host.lastIndexOf(':')
  if (colon < 0) return host
  const own = host.slice(colon)
  const defaultPort = scheme !== proto && ((proto === 'https' && own === ':443') || (proto === 'http' && own === ':80'))
  return port !== 0 || defaultPort ? host.slice(0, colon) : host
}

function portAfterBracket(host: string): number {
  const bracket = host.lastIndexOf(']:')
  return bracket < 0 ? -1 : bracket + 1
}
