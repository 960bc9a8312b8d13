/**
 * YAML as Envoy reads it: YAML 1.1 scalars by yaml-cpp's rules, first document only, no merge keys, the last of equal keys wins.
 * parseYaml() is fast; parseYamlSlowly() understands all of YAML and remembers where every node stood.
 */
import { createRequire } from 'node:module'
import type { LineCounter, Node, ParsedNode, Scalar, YAMLError } from 'yaml'
import { ConfigError } from '../base/errors.ts'
import type { FieldPath } from './field-path.ts'
import { setKey } from './object-key.ts'
import { NOT_UNDERSTOOD, parseYamlFast } from './yaml-fast.ts'
import { isNullScalar, plainScalar } from './yaml-scalar.ts'

type YamlPackage = typeof import('yaml')

let loaded: YamlPackage | null = null

/** Loading the general parser costs more than reading an ordinary bootstrap, and most never need it. */
function general(): YamlPackage {
  loaded ??= createRequire(import.meta.url)('yaml') as YamlPackage
  return loaded
}

export interface Position {
  /** 1-based */
  readonly line: number
  /** 1-based */
  readonly column: number
}

export interface SlowYaml {
  readonly value: unknown
  /** Where the thing at a path stands: its key if it has one, else the nearest container that exists. */
  locate(at: FieldPath): Position | null
}

/** Aliases are expanded as yaml-cpp does; this bounds what "billion laughs" can cost. */
const MAX_NODES = 5_000_000
/** yaml-cpp tag on a key that hides the entry: a place for anchors. */
const IGNORE = '!ignore'

/** @throws ConfigError CONFIG_SYNTAX */
export function parseYaml(text: string, file: string): unknown {
  const fast = parseYamlFast(text)
  return fast === NOT_UNDERSTOOD ? parseYamlSlowly(text, file).value : fast
}

/** @throws ConfigError CONFIG_SYNTAX with the position */
export function parseYamlSlowly(text: string, file: string): SlowYaml {
  const { LineCounter, parseAllDocuments } = general()
  const lines = new LineCounter()
  let root: ParsedNode | null = null
  try {
    const documents = parseAllDocuments(text, {
      lineCounter: lines,
      schema: 'failsafe',
      uniqueKeys: false,
      version: '1.1',
      merge: false,
      logLevel: 'silent',
      prettyErrors: false,
    })
    if (Array.isArray(documents)) {
      const first = documents[0]
      const error = first?.errors[0]
      if (error !== undefined) throw syntaxError(error, lines, file)
      root = first?.contents ?? null
    }
  } catch (e) {
    if (!(e instanceof RangeError)) throw e
    throw new ConfigError('CONFIG_SYNTAX', '', 'yaml-cpp: the document nests too deeply', { file, cause: e })
  }
  const anchors = new Map<string, Node>()
  const converter = new Converter(anchors, file)
  const value = root === null ? null : converter.value(root, 0)
  return { value, locate: at => (root === null ? null : locate(root, anchors, lines, at)) }
}

class Converter {
  readonly #anchors: Map<string, Node>
  readonly #file: string
  #count = 0

  constructor(anchors: Map<string, Node>, file: string) {
    this.#anchors = anchors
    this.#file = file
  }

  value(node: Node | null, depth: number): unknown {
    if (++this.#count > MAX_NODES || depth > 1000) {
      throw new ConfigError('CONFIG_SYNTAX', '', 'yaml-cpp: the document is too large after expanding its aliases', {
        file: this.#file,
      })
    }
    if (node === null) return null
    const { isAlias, isMap, isScalar, isSeq } = general()
    if (isAlias(node)) {
      const target = this.#anchors.get(node.source)
      if (target === undefined)
        throw new ConfigError('CONFIG_SYNTAX', '', `yaml-cpp: the referenced anchor is not defined: ${node.source}`, {
          file: this.#file,
        })
      return this.value(target, depth + 1)
    }
    const anchor = (node as { anchor?: string }).anchor
    if (anchor !== undefined) this.#anchors.set(anchor, node)
    if (isScalar(node)) return scalarValue(node)
    if (isSeq(node)) return node.items.map(n => this.value(n as Node | null, depth + 1))
    if (!isMap(node)) return null
    const out: Record<string, unknown> = {}
    for (const pair of node.items) {
      const key = pair.key as Node | null
      const keyAnchor = (key as { anchor?: string } | null)?.anchor
      if (keyAnchor !== undefined && key !== null) this.#anchors.set(keyAnchor, key)
      const value = this.value(pair.value as Node | null, depth + 1)
      if ((key as { tag?: string } | null)?.tag !== IGNORE) setKey(out, this.#key(key), value)
    }
    return out
  }

  #key(key: Node | null): string {
    if (key === null) return 'null'
    const { isAlias, isScalar } = general()
    if (isAlias(key)) return this.#key(this.#anchors.get(key.source) ?? null)
    if (!isScalar(key))
      throw new ConfigError('CONFIG_SYNTAX', '', 'yaml-cpp: bad conversion: a key is not a scalar', {
        file: this.#file,
      })
    const text = String(key.value ?? '')
    return key.type === 'PLAIN' && (text === '' || text === '~') ? 'null' : text
  }
}

function scalarValue(node: Scalar): unknown {
  const text = String(node.value ?? '')
  // Quoted without a tag, or tagged with the bare '!': text. Other tags mean nothing but undo the quotes, as seen on the real one.
  if (node.tag === '!' || (node.tag === undefined && node.type !== undefined && node.type !== 'PLAIN')) return text
  return node.tag === undefined || !isNullScalar(text) ? plainScalar(text) : text
}

function locate(root: Node, anchors: Map<string, Node>, lines: LineCounter, at: FieldPath): Position | null {
  const { isAlias, isMap, isScalar, isSeq } = general()
  let node: Node | null = root
  let offset = root.range?.[0] ?? 0
  for (const p of at.steps()) {
    if (p.kind === 'any') continue
    while (node !== null && isAlias(node)) node = anchors.get(node.source) ?? null
    if (isMap(node)) {
      // The last of equal keys is the one that was read.
      const pair = node.items.findLast(
        i => isScalar(i.key) && sameKey(String(i.key.value), String(p.step), p.kind === 'field'),
      )
      if (pair === undefined) break
      offset = (pair.key as Node).range?.[0] ?? offset
      node = pair.value as Node | null
    } else if (isSeq(node) && p.kind === 'index') {
      node = (node.items[p.step as number] as Node | undefined) ?? null
      offset = node?.range?.[0] ?? offset
    } else if (p.kind !== 'index' || p.step !== 0) break
  }
  const { line, col } = lines.linePos(offset)
  return line === 0 ? null : { line, column: col }
}

/** Paths of factories have proto names, the text may have camelCase. */
function sameKey(written: string, wanted: string, field: boolean): boolean {
  return (
    written === wanted ||
    (field && written.replaceAll('_', '').toLowerCase() === wanted.replaceAll('_', '').toLowerCase())
  )
}

/** The general parser's finding in yaml-cpp's form and, where there is one, its words. */
function syntaxError(e: YAMLError, lines: LineCounter, file: string): ConfigError {
  const { line, col } = lines.linePos(e.pos[0])
  let words = e.message
  if (/flow (sequence|collection).*\]|Flow sequence/i.test(words)) words = 'end of sequence flow not found'
  else if (/Flow map/i.test(words)) words = 'end of map flow not found'
  else if (
    e.code === 'TAB_AS_INDENT' ||
    e.code === 'BLOCK_AS_IMPLICIT_KEY' ||
    /Nested mappings|compact mappings/i.test(words)
  )
    words = 'illegal map value'
  const advice = words === e.message ? undefined : e.message
  return new ConfigError('CONFIG_SYNTAX', '', `yaml-cpp: error at line ${line}, column ${col}: ${words}`, {
    file,
    line,
    column: col,
    advice,
  })
}
