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

/** The template, or the reason why it is not one, in Envoy's words. */
export function parseTemplate(text: string): Template | string {
  if (!text.startsWith('/')) return `Invalid pattern: "${text}"`
  const variables: string[] = []
  let pattern = '/'
  let rest = text.slice(1)
  let anySeen = false
  if (rest === '') return { pattern, variables }
  for (;;) {
    const segment = nextSegment(rest)
    if (segment.startsWith('{')) {
      const variable = parseVariable(segment)
      if (typeof variable === 'string') return variable
      if (anySeen && variable.globs) return 'Implicit variable path glob after text glob.'
      if (variables.includes(variable.name)) return `Repeated variable name: "${variable.name}"`
      variables.push(variable.name)
      if (variables.length > MAX_VARIABLES) return `Exceeded variable count limit (${MAX_VARIABLES})`
      anySeen ||= variable.pattern.includes(ANY)
      const tail = segment.slice(segment.indexOf('}') + 1)
      if (!LITERAL.test(tail)) return `Invalid suffix literal: "${tail}"`
      pattern += `(?P<${variable.name}>${variable.pattern})${quote(tail)}`
    } else if (segment === '*' || segment === '**') {
      if (anySeen) return 'Glob after text glob.'
      pattern += segment === '*' ? ONE : ANY
      anySeen = segment === '**'
    } else if (segment.includes('{') || segment.includes('}')) {
      if (!/^[^{}]*\{[^{}]*\}/.test(segment)) return `Unmatched variable bracket in mixed pattern: "${segment}"`
      return `"${segment}": text before a variable in one segment is not supported yet`
    } else if (!LITERAL.test(segment) || (segment === '' && rest !== '')) return `Invalid literal: "${segment}"`
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

function parseVariable(segment: string): { name: string; pattern: string; globs: boolean } | string {
  const close = segment.indexOf('}')
  if (close < 0) return `Unmatched variable bracket in mixed pattern: "${segment}"`
  const [name = '', glob = '*'] = segment.slice(1, close).split(/=(.*)/s)
  if (!/^[a-zA-Z][a-zA-Z0-9_]*$/.test(name)) return `Invalid variable name: "${name}"`
  if (name.length > MAX_NAME) {
    return `Invalid variable name length (length of "${name}" should be at least 1 and no more than ${MAX_NAME})`
  }
  if (glob === '') return 'Empty variable match'
  const parts = glob
    .split('/')
    .map(part => (part === '*' ? ONE : part === '**' ? ANY : LITERAL.test(part) ? quote(part) : null))
  if (parts.includes(null)) return `Invalid literal: "${glob}"`
  return { name, pattern: parts.join('/'), globs: parts.includes(ONE) || parts.includes(ANY) }
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
