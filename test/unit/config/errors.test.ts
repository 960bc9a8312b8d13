import { readFileSync } from 'node:fs'
import t from 'tap'
import { CONFIG_ERRORS, ConfigError } from '../../../src/base/errors.ts'
import type { AnyMessage } from '../../../src/config/any.ts'
import { FieldPath } from '../../../src/config/field-path.ts'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { disableExtension, type ExtensionFactory, parseAny, registerFactories } from '../../../src/config/registry.ts'
import { defineSupport } from '../../../src/config/support.ts'
import { supportRows, unknownSupportFields } from '../../../src/config/support-rows.ts'

t.test('every error code has its section in docs/errors.md and no section is left over', t => {
  const text = readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8')
  const sections = [...text.matchAll(/^### (\S+)$/gm)].map(m => m[1])
  t.strictSame(sections.sort(), Object.keys(CONFIG_ERRORS).sort())
  t.end()
})

t.test('a path prints as Envoy prints it, map entries by key for us', t => {
  const at = FieldPath.root("Cluster 'c'")
    .field('load_assignment')
    .field('endpoints')
    .index(2)
    .field('metadata')
    .key('a b', 1)
    .any()
    .field('x')
  t.equal(at.toString(), `Cluster 'c': load_assignment.endpoints[2].metadata["a b"].<any>.x`)
  t.equal(at.toEnvoy(), 'load_assignment.endpoints[2].metadata[1].<any>.x')
  t.equal(FieldPath.root().toString(), '')
  t.end()
})

t.test('an error reads: what, where, what to do', t => {
  const error = new ConfigError('CONFIG_INVALID', FieldPath.root().field('a'), 'words of Envoy', { advice: 'do this' })
  t.equal(error.message, 'words of Envoy\n  at a\n  do this')
  t.equal(error.located('f.yaml', 3, 4).message, 'words of Envoy\n  at f.yaml:3:4, a\n  do this')
  t.equal(error.located('f.yaml', 3, 4).code, 'CONFIG_INVALID')
  t.end()
})

t.test('fields without support are refused, some only warn', t => {
  const support = defineSupport<envoy.config.core.v3.SocketAddress>('envoy.config.core.v3.SocketAddress', {
    address: 'yes',
    port_value: 'yes',
    resolver_name: 'warn',
  })
  const warnings: string[] = []
  const at = FieldPath.root().field('address')
  support.check({ address: 'a', port_value: 1, resolver_name: 'r', named_port: undefined }, at, warnings)
  t.strictSame(warnings, [
    "address.resolver_name: field 'resolver_name' of envoy.config.core.v3.SocketAddress is not supported, it has no effect",
  ])
  t.throws(() => support.check({ ipv4_compat: true }, at, warnings), {
    code: 'CONFIG_UNSUPPORTED',
    path: 'address.ipv4_compat',
  })
  t.match(
    supportRows().map(r => `${r.field} ${r.level}`),
    [
      'protocol reject',
      'address yes',
      'port_value yes',
      'named_port reject',
      'resolver_name warn',
      'ipv4_compat reject',
    ],
  )
  t.strictSame(unknownSupportFields(), [])
  t.end()
})

t.test("extensions are found by type, and a missing one is refused in Envoy's words", t => {
  const factory: ExtensionFactory<{ a?: number }, number> = {
    category: 'envoy.filters.http',
    name: 'envoy.filters.http.cors',
    typeUrls: ['envoy.extensions.filters.http.cors.v3.Cors'],
    parse: proto => proto.a ?? 0,
    create: () => null,
  }
  registerFactories([factory])
  t.throws(() => registerFactories([factory]), /two factories/)
  const any: AnyMessage = {
    type_url: 'type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors',
    message: { a: 3 },
  }
  const at = FieldPath.root()
  t.strictSame(parseAny(any, 'envoy.filters.http', 'any name', at), {
    name: 'any name',
    category: 'envoy.filters.http',
    typeUrl: 'envoy.extensions.filters.http.cors.v3.Cors',
    config: 3,
  })
  t.match(
    failure(() => parseAny(any, 'envoy.filters.network', 'x', at)),
    {
      envoyText:
        "Didn't find a registered implementation for 'x' with type URL: 'envoy.extensions.filters.http.cors.v3.Cors'",
      advice:
        "'envoy.extensions.filters.http.cors.v3.Cors' belongs to envoy.filters.http, this place takes envoy.filters.network",
    },
  )
  t.match(
    failure(() => parseAny(undefined, 'envoy.filters.http', 'x', at)),
    {
      envoyText: "Didn't find a registered implementation for 'x' with type URL: ''",
    },
  )
  t.equal(disableExtension('envoy.filters.http', 'envoy.filters.http.nope'), false)
  t.equal(disableExtension('envoy.filters.http', 'envoy.filters.http.cors'), true)
  t.throws(() => parseAny(any, 'envoy.filters.http', 'x', at), { code: 'CONFIG_UNREGISTERED' })
  t.end()
})

function failure(run: () => unknown): ConfigError {
  try {
    run()
  } catch (e) {
    if (e instanceof ConfigError) return e
    throw e
  }
  throw new Error('no error was raised')
}
