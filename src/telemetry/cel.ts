import { compileRegex, type Regex, regexError } from '../base/regex.ts'
import type { CelNode } from '../config/cel.ts'
import { latin1 } from '../config/matcher.ts'
import type { NodeInfo } from '../config/services.ts'
import { attributeReader, type CelValue, HeaderMap } from './cel-attributes.ts'
import type { FormatContext } from './format-context.ts'

/** A compiled expression. Undefined is an error, which `||` and `&&` absorb when the other side decides. */
export type CelProgram = (c: FormatContext, node: NodeInfo) => CelValue

/** A function that reads the expression's value, or the reason why it cannot be compiled. */
export function compileCel(node: CelNode): CelProgram | string {
  try {
    return compile(node)
  } catch (error) {
    if (error instanceof UnknownAttribute) return error.message
    throw error
  }
}

/** How a value stands in a text (Envoy: Expr::print). */
export function printCel(value: CelValue): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : value.toFixed(6)
  if (value === null) return 'NULL'
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

class UnknownAttribute extends Error {}

function compile(node: CelNode): CelProgram {
  switch (node.kind) {
    case 'value': {
      const { value } = node
      return () => value
    }
    case 'name': {
      const read = attributeReader(node.name, null)
      if (read === null) throw new UnknownAttribute(`attribute '${node.name}' is not supported`)
      return read
    }
    case 'select':
      return node.test ? present(select(node.of, node.field)) : select(node.of, node.field)
    case 'index': {
      const of = compile(node.of)
      const at = compile(node.at)
      return (c, n) => member(of(c, n), at(c, n))
    }
    case 'list': {
      const items = node.items.map(compile)
      return (c, n) => items.map(item => item(c, n))
    }
    case 'call':
      return call(node.name, node.args)
  }
}

function select(of: CelNode, field: string): CelProgram {
  if (of.kind === 'name') {
    const read = attributeReader(of.name, field)
    if (read !== null) return read
    if (attributeReader(of.name, null) === null) {
      throw new UnknownAttribute(`attribute '${of.name}.${field}' is not supported`)
    }
  }
  const inner = compile(of)
  return (c, n) => member(inner(c, n), field)
}

function present(read: CelProgram): CelProgram {
  return (c, n) => read(c, n) !== undefined
}

function member(of: CelValue, key: CelValue): CelValue {
  if (typeof of !== 'object' || of === null) return undefined
  if (of instanceof HeaderMap) return typeof key === 'string' ? of.get(key) : undefined
  if (Array.isArray(of)) return typeof key === 'number' ? (of[key] as CelValue) : undefined
  if (typeof key !== 'string') return undefined
  const object = 'toJSON' in of ? ((of as { toJSON(): object }).toJSON() as Record<string, unknown>) : of
  return Object.hasOwn(object, key) ? ((object as Record<string, unknown>)[key] as CelValue) : undefined
}

function call(name: string, args: readonly CelNode[]): CelProgram {
  if (name === 'matches' && args[1]!.kind === 'value') return matches(args[0]!, args[1]!.value)
  const [a, b, d] = args.map(compile)
  switch (name) {
    case '||':
    case '&&': {
      // Either side may be an error as long as the other decides.
      const decisive = name === '||'
      return (c, n) => {
        const left = a!(c, n)
        if (left === decisive) return decisive
        const right = b!(c, n)
        if (right === decisive) return decisive
        return typeof left === 'boolean' && typeof right === 'boolean' ? !decisive : undefined
      }
    }
    case '?:':
      return (c, n) => {
        const condition = a!(c, n)
        if (typeof condition !== 'boolean') return undefined
        return condition ? b!(c, n) : d!(c, n)
      }
    case '!':
      return (c, n) => {
        const value = a!(c, n)
        return typeof value === 'boolean' ? !value : undefined
      }
    case 'neg':
      return (c, n) => {
        const value = a!(c, n)
        return typeof value === 'number' ? -value : undefined
      }
  }
  if (args.length === 1) return (c, n) => convert(name, a!(c, n))
  return (c, n) => operate(name, a!(c, n), b!(c, n))
}

function matches(subject: CelNode, pattern: string | number | boolean | null): CelProgram {
  const text = String(pattern)
  if (regexError(text) !== null) throw new UnknownAttribute(`'${text}' is no regular expression`)
  // RE2::PartialMatch.
  const regex: Regex = compileRegex(`(?s:.*)(?:${text})(?s:.*)`)
  const read = compile(subject)
  return (c, n) => {
    const value = read(c, n)
    return typeof value === 'string' ? regex.fullMatch(latin1(value)) : undefined
  }
}

function convert(name: string, value: CelValue): CelValue {
  if (value === undefined) return undefined
  switch (name) {
    case 'size':
      if (typeof value === 'string') return [...value].length
      if (Array.isArray(value)) return value.length
      if (value instanceof HeaderMap) return value.size
      return typeof value === 'object' && value !== null ? Object.keys(value).length : undefined
    case 'string':
      return printCel(value)
    default: {
      const number = typeof value === 'string' || typeof value === 'number' ? Number(value) : Number.NaN
      if (Number.isNaN(number)) return undefined
      return name === 'double' ? number : Math.trunc(number)
    }
  }
}

function operate(name: string, left: CelValue, right: CelValue): CelValue {
  if (left === undefined || right === undefined) return undefined
  switch (name) {
    case '==':
      return equal(left, right)
    case '!=':
      return !equal(left, right)
    case 'in':
      if (Array.isArray(right)) return right.some(item => equal(left, item as CelValue))
      return typeof right === 'object' && right !== null ? member(right, left) !== undefined : undefined
  }
  if (typeof left === 'string' && typeof right === 'string') return texts(name, left, right)
  if (typeof left !== 'number' || typeof right !== 'number') return undefined
  switch (name) {
    case '<':
      return left < right
    case '<=':
      return left <= right
    case '>':
      return left > right
    case '>=':
      return left >= right
    case '+':
      return left + right
    case '-':
      return left - right
    case '*':
      return left * right
    case '/':
      return right === 0
        ? undefined
        : Number.isInteger(left) && Number.isInteger(right)
          ? Math.trunc(left / right)
          : left / right
    case '%':
      return right === 0 ? undefined : left % right
  }
  return undefined
}

function texts(name: string, left: string, right: string): CelValue {
  switch (name) {
    case 'startsWith':
      return left.startsWith(right)
    case 'endsWith':
      return left.endsWith(right)
    case 'contains':
      return left.includes(right)
    case '+':
      return left + right
    case '<':
      return left < right
    case '<=':
      return left <= right
    case '>':
      return left > right
    case '>=':
      return left >= right
  }
  return undefined
}

function equal(left: CelValue, right: CelValue): boolean {
  if (typeof left !== 'object' || left === null) return left === right
  return JSON.stringify(left) === JSON.stringify(right)
}
