import t from 'tap'
import { type DiscoveredConfig, parseDiscovered } from '../../../src/config/discovered.ts'
import { FieldPath } from '../../../src/config/field-path.ts'
import type { ParsedExtension } from '../../../src/config/registry.ts'
import type { ExtensionSource } from '../../../src/config/services.ts'
import { registerExtensions } from '../../../src/extensions.ts'
import type { HttpFilterConfig } from '../../../src/http/connection-manager-config.ts'
import { httpFilterChain } from '../../../src/http/discovered-filters.ts'
import type { HttpFilter } from '../../../src/http/filter.ts'

registerExtensions()

const FAULT = 'envoy.extensions.filters.http.fault.v3.HTTPFault'
const CORS = 'envoy.extensions.filters.http.cors.v3.Cors'
const ROUTER = 'envoy.extensions.filters.http.router.v3.Router'
const category = 'envoy.filters.http'

class Extensions implements ExtensionSource {
  generation = 0
  readonly found = new Map<string, ParsedExtension>()

  get(_category: string, name: string): ParsedExtension | null {
    return this.found.get(name) ?? null
  }

  put(name: string, typeUrl: string, config: unknown): void {
    this.found.set(name, { name, category, typeUrl, config })
    this.generation++
  }
}

const discovered = (name: string, types: string[], more: Partial<DiscoveredConfig> = {}): HttpFilterConfig => ({
  name,
  factory: '',
  config: null,
  disabled: false,
  discovered: { name, category, source: {}, types, fallback: null, waits: true, last: false, ...more },
})
const fixed = (name: string): HttpFilterConfig => ({
  name,
  factory: ROUTER,
  config: name,
  disabled: false,
  discovered: null,
})

/** Filters that say what they were made of; `made` counts them. */
function setUp(configs: readonly HttpFilterConfig[]) {
  const extensions = new Extensions()
  const made: string[] = []
  const create = ({ factory, config }: HttpFilterConfig): HttpFilter => {
    const what = `${factory.split('.').at(-1)} ${String(config)}`
    made.push(what)
    return { index: 0, name: '', what } as HttpFilter
  }
  const source = httpFilterChain(configs, create, extensions)
  const whats = (): string[] =>
    source.current().filters.map(filter => (filter as HttpFilter & { what?: string }).what ?? 'missing')
  return { extensions, made, source, whats }
}

t.test('without discovered filters the chain is made once', t => {
  const { source, made, extensions } = setUp([fixed('a'), fixed('b')])
  const chain = source.current()
  extensions.generation++
  t.equal(source.current(), chain)
  t.same(made, ['Router a', 'Router b'])
  t.end()
})

t.test('a change makes the filter anew and leaves the others as they are', t => {
  const { source, made, extensions, whats } = setUp([discovered('x', [FAULT]), discovered('y', [FAULT]), fixed('r')])
  t.same(whats(), ['missing', 'missing', 'Router r'])
  const before = source.current()
  extensions.put('x', FAULT, 1)
  t.same(whats(), ['HTTPFault 1', 'missing', 'Router r'])
  t.not(source.current(), before, 'streams keep the chain they began with')
  t.equal(source.current().filters[2], before.filters[2])
  t.equal(source.current().filters[0]?.name, 'x')
  const now = source.current()
  extensions.put('unrelated', FAULT, 1)
  t.equal(source.current(), now)
  extensions.put('x', FAULT, 2)
  t.same(whats(), ['HTTPFault 2', 'missing', 'Router r'])
  extensions.found.delete('x')
  extensions.generation++
  t.same(whats(), ['missing', 'missing', 'Router r'])
  t.same(made, ['Router r', 'HTTPFault 1', 'HTTPFault 2'])
  t.end()
})

t.test('what does not fit this place is not used: the default is, or nothing', t => {
  const fallback = { name: 'x', category, typeUrl: FAULT, config: 'default' } as ParsedExtension
  const { extensions, whats } = setUp([
    discovered('x', [FAULT], { fallback }),
    discovered('y', [CORS, ROUTER]),
    discovered('z', [CORS, ROUTER], { last: true }),
  ])
  for (const name of ['x', 'y', 'z']) extensions.put(name, CORS, name)
  t.same(whats(), ['HTTPFault default', 'Cors y', 'missing'])
  for (const name of ['x', 'y', 'z']) extensions.put(name, ROUTER, name)
  t.same(whats(), ['HTTPFault default', 'missing', 'Router z'])
  t.end()
})

t.test('a default must be of an allowed type and fit its place', t => {
  const at = FieldPath.root()
  const parse = (more: object, last = false): DiscoveredConfig =>
    parseDiscovered(
      { config_source: { ads: {} }, type_urls: [`type.googleapis.com/${FAULT}`], ...more },
      category,
      'f',
      last,
      at,
      [],
    )
  const any = (type: string) => ({ type_url: `type.googleapis.com/${type}`, message: {} })
  t.match(parse({ default_config: any(FAULT) }), { types: [FAULT], waits: true, fallback: { typeUrl: FAULT } })
  t.throws(() => parse({ default_config: any(CORS) }), /has type URL .*Cors but expect .*HTTPFault\./)
  t.throws(() => parse({ default_config: any(FAULT) }, true), /non-terminal filter named f/)
  t.throws(() => parse({ type_urls: ['type.googleapis.com/nope.Nope'] }), /no factory found .* nope\.Nope\./)
  t.throws(() => parse({ apply_default_config_without_warming: true }), /without warming but has no default config/)
  const early = parse({ apply_default_config_without_warming: true, default_config: any(FAULT) })
  t.equal(early.waits, false)
  t.end()
})
