import type { HcmConfig } from './connection-manager-config.ts'

export const PathResult = { Unchanged: 0, Changed: 1, Reject: 2, Redirect: 3 } as const
export type PathResult = (typeof PathResult)[keyof typeof PathResult]

/** Last result of `normalizePath` unless `Unchanged`; after `Reject` what came of the path until then. */
let normalized = ''
export function normalizedPath(): string {
  return normalized
}

/** The last path that no option changed, and the options: many requests name one path. */
let unchanged = ''
let unchangedWith: HcmConfig | null = null
/** Bounded, because it is kept. */
const LONG_PATH = 256

/**
 * normalize_path, merge_slashes and path_with_escaped_slashes_action in Envoy's order (escaped slashes, RFC 3986 §6,
 * slashes). The query is never touched. A fragment is refused whatever the options say.
 */
export function normalizePath(path: string, config: HcmConfig): PathResult {
  if (path === unchanged && config === unchangedWith) return PathResult.Unchanged
  normalized = path
  if (path.indexOf('#') >= 0) return PathResult.Reject
  if (!config.normalizePath && !config.mergeSlashes && config.escapedSlashes === 'KEEP_UNCHANGED') {
    keepUnchanged(path, config)
    return PathResult.Unchanged
  }
  const queryAt = path.indexOf('?')
  let bare = queryAt < 0 ? path : path.slice(0, queryAt)
  let redirect = false
  if (config.escapedSlashes !== 'KEEP_UNCHANGED') {
    const unescaped = bare.replace(/%2f/gi, '/').replace(/%5c/gi, '\\')
    if (unescaped !== bare) {
      if (config.escapedSlashes === 'REJECT_REQUEST') {
        normalized = queryAt < 0 ? unescaped : unescaped + path.slice(queryAt)
        return PathResult.Reject
      }
      redirect = config.escapedSlashes === 'UNESCAPE_AND_REDIRECT'
      bare = unescaped
    }
  }
  if (config.normalizePath) {
    const canonical = canonicalPath(bare)
    if (canonical === null) return PathResult.Reject
    bare = canonical
  }
  if (config.mergeSlashes) bare = bare.replace(/\/{2,}/g, '/')
  normalized = queryAt < 0 ? bare : bare + path.slice(queryAt)
  if (normalized === path) {
    keepUnchanged(path, config)
    return PathResult.Unchanged
  }
  return redirect ? PathResult.Redirect : PathResult.Changed
}

function keepUnchanged(path: string, config: HcmConfig): void {
  if (path.length > LONG_PATH) return
  unchanged = path
  unchangedWith = config
}

/** Chromium's canonical path as Envoy takes it: dot segments, backslashes, unreserved percent-escapes; null = invalid. */
function canonicalPath(path: string): string | null {
  let text = path
  if (text.indexOf('%') >= 0) {
    if (/%00/.test(text)) return null
    text = text.replace(/%([0-9a-fA-F]{2})/g, (all, digits: string) => {
      const char = String.fromCharCode(Number.parseInt(digits, 16))
      return /[A-Za-z0-9\-._~]/.test(char) ? char : all
    })
  }
  if (text.indexOf('\\') >= 0) text = text.replaceAll('\\', '/')
  text = text.replace(
    /[^\x21\x23-\x3b\x3d\x3f-\x5f\x61-\x7b\x7d\x7e|]/g,
    char => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
  if (text.indexOf('/.') < 0) return text
  const out: string[] = []
  const segments = text.split('/')
  for (let i = 1; i < segments.length; i++) {
    const segment = segments[i]!
    const last = i === segments.length - 1
    if (segment === '.') {
      if (last) out.push('')
    } else if (segment === '..') {
      out.pop()
      if (last) out.push('')
    } else out.push(segment)
  }
  return `/${out.join('/')}`
}
