const LITERAL = /[A-Za-z0-9_\-/:;,=@#%&~ "'<>!]/
/** Escaped punctuation, and the classes that RE2 and every other engine know. */
const ESCAPED = /[.\-/^$|()[\]{}*+?dwsDWS]/
const CLASS = /\[\^?(?:a-z|A-Z|0-9|[A-Za-z0-9_.:/ ])+-?\]/y
/** RE2 limits nesting to 1,000 and the size of the program to some thousands; these stay far away from either. */
const MAX_LENGTH = 256
const MAX_DEPTH = 16

/**
 * Whether RE2 certainly accepts the pattern, because it holds nothing but literals, dots, groups, alternatives, simple classes and single
 * repetitions. False says nothing. Most patterns of a mesh are so, and for them the library that knows all of RE2 need not be loaded,
 * which takes 40 ms and some megabytes.
 */
export function isPlainRegex(pattern: string): boolean {
  if (pattern.length > MAX_LENGTH) return false
  let depth = 0
  let canRepeat = false
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern[i]!
    if (LITERAL.test(c) || c === '.') canRepeat = true
    else if (c === '\\') {
      const escaped = pattern[++i]
      if (escaped === undefined || !ESCAPED.test(escaped)) return false
      canRepeat = true
    } else if (c === '*' || c === '+' || c === '?') {
      if (!canRepeat) return false
      if (pattern[i + 1] === '?') i++
      canRepeat = false
    } else if (c === '^' || c === '$' || c === '|') canRepeat = false
    else if (c === '(') {
      if (pattern[i + 1] === '?') {
        if (pattern[i + 2] !== ':') return false
        i += 2
      }
      if (++depth > MAX_DEPTH) return false
      canRepeat = false
    } else if (c === ')') {
      if (--depth < 0) return false
      canRepeat = true
    } else if (c === '[') {
      CLASS.lastIndex = i
      if (!CLASS.test(pattern)) return false
      i = CLASS.lastIndex - 1
      canRepeat = true
    } else return false
  }
  return depth === 0
}
