import type { AdminAnswer } from '../../bench/wire/proxy-process.ts'
import { bodyText } from './observation.ts'
import type { Step } from './scenario.ts'

/** An admin answer in comparable form: hash-ordered JSON and lists are compared sorted, as the real one shuffles them. */
export function describeAdmin(step: Extract<Step, { kind: 'admin' }>, answer: AdminAnswer): object {
  return { status: answer.statusLine, headers: answer.headers, body: comparable(step, answer.body) }
}

function comparable(step: Extract<Step, { kind: 'admin' }>, body: string): unknown {
  const pattern = step.only === undefined ? null : new RegExp(step.only)
  switch (step.as ?? 'text') {
    case 'none':
      return '{not compared}'
    case 'json':
      return sorted(parse(body))
    case 'keys':
      return keyPaths(parse(body)).sort()
    case 'lines':
      return kept(body, pattern).sort()
    default:
      return pattern === null ? bodyText(Buffer.from(body)) : kept(body, pattern)
  }
}

function kept(body: string, pattern: RegExp | null): string[] {
  const lines = body.split('\n')
  return pattern === null ? lines : lines.filter(line => pattern.test(line))
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return `not JSON: ${body}`
  }
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, item]) => [name, sorted(item)]),
  )
}

function keyPaths(value: unknown, path = ''): string[] {
  if (Array.isArray(value)) return [...new Set(value.flatMap(item => keyPaths(item, `${path}[]`)))]
  if (typeof value !== 'object' || value === null) return [`${path}: ${value === null ? 'null' : typeof value}`]
  return Object.entries(value).flatMap(([name, item]) => keyPaths(item, path === '' ? name : `${path}.${name}`))
}
