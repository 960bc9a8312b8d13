import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { registerExtensions } from '../../../src/extensions.ts'
import { fullNode } from '../../../src/server/node.ts'

registerExtensions()

/** `category name type…` of every extension in the node of the stock Envoy's /server_info. */
const lines = readFileSync(join(import.meta.dirname, '../../fixtures/config/envoy-extensions.txt'), 'utf8').trim()
const envoy = new Map<string, ReadonlySet<string>>(
  lines.split('\n').map(line => {
    const [category, name, ...types] = line.split(' ')
    return [`${category} ${name}`, new Set(types)] as const
  }),
)
/** Istio's, which its build of Envoy has. */
const ISTIO = /istio|metadata_exchange|peer_metadata/

t.test("the node's extensions are named as Envoy names them, with its types", async t => {
  const { extensions = [] } = fullNode(undefined)
  t.ok(extensions.length > 70)
  const seen = new Set<string>()
  for (const { name = '', category = '', type_urls = [] } of extensions) {
    const key = `${category} ${name}`
    t.notOk(seen.has(key), `${key} is there once`)
    seen.add(key)
    if (ISTIO.test(name)) continue
    const types = envoy.get(key)
    t.ok(types, `${key} is one of Envoy's`)
    t.same(
      type_urls.filter(type => types?.has(type) === false),
      [],
      key,
    )
  }
})
