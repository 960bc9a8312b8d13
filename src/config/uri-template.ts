import { compileRegex, type Regex } from '../base/regex.ts'
import { latin1 } from './matcher.ts'

/**
 * envoy.path.match.uri_template and envoy.path.rewrite.uri_template: `/a/{country=*}/{rest=**}`. A template becomes one RE2
 * expression, as in source/extensions/path/uri_template_lib.
 */
export interface Template {
  readonly pattern: string
  readonly variables: readonly string[]
}

// Envoy's limits: uri_template_internal.h.
const MAX_VARIABLES = 5
const MAX_NAME = 16
const LITERAL = /^[a-zA-Z0-9\-._~%!$&'()+,;:@=]*$/
const ONE = "[a-zA-Z0-9-._~%!$&'()+,;:@]+"
const ANY = "[a-zA-Z0-9-._~%!$&'()+,;:@/]*"

/** The template, or the reason why it is not one. */
export function parseTemplate(text: string): Template | string {
  if (!text.startsWith('/')) return 'Invalid pattern: must start with /'
  const variables: string[] = []
  let pattern = '/'
  let rest = text.slice(1)
  let anySeen = false
  for (;;) {
    const segment = nextSegment(rest)
    if (anySeen && segment !== '') return '** operator must be the last operator'
    if (segment.startsWith('{')) {
      const variable = parseVariable(segment)
      if (typeof variable === 'string') return variable
      if (variables.includes(variable.name)) return `Repeated variable name: "${variable.name}"`
      variables.push(variable.name)
      if (variables.length > MAX_VARIABLES) return `Exceeded max number of variables: ${MAX_VARIABLES}`
      pattern += `(?P<${variable.name}>${variable.pattern})`
      anySeen ||= variable.pattern.includes(ANY)
      const tail = segment.slice(segment.indexOf('}') + 1)
      if (!LITERAL.test(tail)) return `Invalid literal: "${tail}"`
      pattern += quote(tail)
    } else if (segment === '*') pattern += ONE
    else if (segment === '**') {
      pattern += ANY
      anySeen = true
    } else if (segment.includes('{') || segment.includes('}')) {
      return `Unmatched variable bracket in mixed pattern: "${segment}"`
    } else if (!LITERAL.test(segment)) return `Invalid literal: "${segment}"`
    else pattern += quote(segment)
    if (rest.length <= segment.length) return { pattern, variables }
    rest = rest.slice(segment.length + 1)
    pattern += '/'
  }
}

/** Up to the next slash outside braces. */
function nextSegment(text: string): string {
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '{') depth++
    else if (text[i] === '}') depth--
    else if (text[i] === '/' && depth <= 0) return text.slice(0, i)
  }
  return text
}

function parseVariable(segment: string): { name: string; pattern: string } | string {
  const close = segment.indexOf('}')
  if (close < 0) return `Unmatched variable bracket in mixed pattern: "${segment}"`
  const [name = '', glob = '*'] = segment.slice(1, close).split(/=(.*)/s)
  if (!/^[a-zA-Z][a-zA-Z0-9_]*$/.test(name)) return `Invalid variable name: "${name}"`
  if (name.length > MAX_NAME) return `Invalid variable name length (length of 1-${MAX_NAME}): "${name}"`
  if (glob === '') return 'Empty variable pattern'
  const parts = glob
    .split('/')
    .map(part => (part === '*' ? ONE : part === '**' ? ANY : LITERAL.test(part) ? quote(part) : null))
  if (parts.includes(null)) return `Invalid literal: "${glob}"`
  return { name, pattern: parts.join('/') }
}

function quote(text: string): string {
  return latin1(text).replace(/[^a-zA-Z0-9_/-]/g, '\\$&')
}

/** Variables of `/x/{a}/y`, in order; the text that is not one is literal. */
export function templateVariables(rewrite: string): string[] {
  return [...rewrite.matchAll(/\{([^}]*)\}/g)].map(found => found[1]!)
}

/** Compiled pair of match and rewrite. */
export class TemplateRewrite {
  readonly #regex: Regex
  readonly #substitution: string

  constructor(match: string, rewrite: string) {
    const template = parseTemplate(match) as Template
    this.#regex = compileRegex(`^${template.pattern}$`)
    this.#substitution = latin1(rewrite)
      .replace(/\\/g, '\\\\')
      .replace(/\{([^}]*)\}/g, (_, name: string) => {
        return `\\${template.variables.indexOf(name) + 1}`
      })
  }

  rewrite(path: string): string {
    return this.#regex.replaceAll(path, this.#substitution)
  }
}
