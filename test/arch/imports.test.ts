import { readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import packageJson from '../../package.json' with { type: 'json' }

const root = fileURLToPath(new URL('../../', import.meta.url))

/**
 * Packages and modules of Node that cost 5 to 30 ms to load, in every thread; each is loaded when a configuration first needs it
 * (src/base/lazy-modules.ts).
 */
const HEAVY = [
  ...Object.keys(packageJson.dependencies),
  ...['crypto', 'dgram', 'dns', 'dns/promises', 'http', 'http2', 'https', 'stream', 'tls', 'zlib'].map(
    n => `node:${n}`,
  ),
]

/** What is loaded before the first line of `entry` runs: file or package → who imports it first. Type imports load nothing. */
function loadedBy(entry: string): Map<string, string> {
  const found = new Map([[entry, '']])
  const queue = [entry]
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    const text = readFileSync(join(root, file), 'utf8')
    for (const match of text.matchAll(/^(?:import|export)\s+(?!type\b)(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm)) {
      const name = match[1]!
      const target = name.startsWith('.') ? normalize(join(dirname(file), name)) : name
      if (found.has(target)) continue
      found.set(target, file)
      if (name.startsWith('.')) queue.push(target)
    }
  }
  return found
}

/** `entry → … → target`, for the one who has to break the chain. */
function chain(found: ReadonlyMap<string, string>, target: string): string {
  const steps = [target]
  for (let at = found.get(target); at !== undefined && at !== ''; at = found.get(at)) steps.unshift(at)
  return steps.join(' → ')
}

function forbidden(entry: string, names: readonly (string | RegExp)[]): string[] {
  const found = loadedBy(entry)
  const hit = (target: string): boolean => names.some(n => (typeof n === 'string' ? target === n : n.test(target)))
  return [...found.keys()].filter(hit).map(target => chain(found, target))
}

t.test('a worker loads no descriptors, nothing that reads messages, and nothing of the main thread', async t => {
  // The bare reader of protobuf bytes (wire-reader) is allowed: what sidecars tell each other is a Struct.
  const readers = /^src\/config\/(descriptors|binary|binary-writer|json-reader|json-writer|load|validate|yaml)/
  const main = /^src\/(cmd|lab|iptables|agent|admin|inspect|server|xds)\//
  t.same(forbidden('src/worker/main.ts', [...HEAVY, readers, main]), [])
})

t.test('the entry of the proxy loads the server only when it is going to run', async t => {
  t.same(
    forbidden('src/cmd/envoy.ts', [...HEAVY, /^src\/(server|admin|xds|worker)\//, /^src\/config\/descriptors/]),
    [],
  )
})

t.test('a server loads gRPC, the general YAML parser and the admin pages when they are needed', async t => {
  t.same(forbidden('src/server/main.ts', [...HEAVY, /^src\/(admin|agent|lab)\//]), [])
})

t.test(
  'the agent loads gRPC, TLS and YAML after it has started the proxy, and what only other commands need never',
  async t => {
    // Its own metrics are counted from the beginning.
    const late = Object.keys(packageJson.dependencies).filter(name => name !== 'prom-client')
    const modules = ['http2', 'https', 'tls', 'zlib'].map(name => `node:${name}`)
    t.same(
      forbidden('src/agent/proxy-command.ts', [...late, ...modules, /^src\/(iptables|lab|server|worker|admin)\//]),
      [],
    )
  },
)
