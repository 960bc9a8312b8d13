/** Route configurations that the real Envoy was asked about: fixtures/routing/errors.json, made by record-errors.py beside it. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { ConfigError } from '../../../src/base/errors.ts'
import { parse } from './configs.ts'

const cases: { config: object; error: string | null }[] = JSON.parse(
  readFileSync(new URL('../../fixtures/routing/errors.json', import.meta.url), 'utf8'),
)

/** Durations are read by the JSON reader, which these tests leave out. */
function durations(value: unknown): unknown {
  if (typeof value === 'string' && /^[0-9.]+s$/.test(value)) return Number.parseFloat(value) * 1000
  if (Array.isArray(value)) return value.map(durations)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, durations(inner)]))
}

function errorOf(config: object): string | null {
  try {
    parse(durations(config) as object)
    return null
  } catch (error) {
    if (error instanceof ConfigError) return error.envoyText
    throw error
  }
}

t.test('what Envoy refuses is refused in its words, what it accepts is accepted', t => {
  for (const { config, error } of cases) t.equal(errorOf(config), error, JSON.stringify(config).slice(0, 300))
  t.end()
})

t.test('what Remora does not do is refused, not ignored', t => {
  const matcher = { name: 'r', virtual_hosts: [{ name: 'v', domains: ['*'], matcher: {} }] }
  t.match(errorOf(matcher), /field 'matcher' .* is not supported/)
  t.match(errorOf({ name: 'r', vhds: {} }), /field 'vhds'/)
  t.end()
})
