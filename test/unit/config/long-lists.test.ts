import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ConfigError } from '../../../src/base/errors.ts'
import { XorShift } from '../../../src/base/random.ts'
import { elementOf, packedListOf, shelfOf } from '../../../src/base/shelf.ts'
import { type LoadedMessage, loadBootstrap, loadFile } from '../../../src/config/load.ts'

const HCM = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
const BOOTSTRAP = 'envoy.config.bootstrap.v3.Bootstrap'
const MANY = 260

interface Parts {
  readonly clusters?: readonly string[]
  readonly hosts?: readonly string[]
  readonly around?: string
}

function clusterText(i: number): string {
  return `  - name: "cluster ${i}"
    type: STATIC
    connect_timeout: 0.25s # a comment
    dns_lookup_family: V4_ONLY
    circuit_breakers: {thresholds: [{max_connections: ${i + 5000000000 - 5000000000}, max_requests: 0xff}]}
    metadata:
      filter_metadata:
        a: {__proto__: 1.5, b: [~, yes, '${i}']}
    load_assignment:
      cluster_name: cluster-${i}
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${i + 1}}}}
`
}

function hostText(i: number): string {
  return `              - name: host-${i}
                domains: [host-${i}.test]
                routes:
                - match:
                    prefix: /
                  route:
                    cluster: cluster ${i}
                    timeout: 3s
`
}

const numbers = Array.from({ length: MANY }, (_, i) => i)

function text({ clusters = numbers.map(clusterText), hosts = numbers.map(hostText), around = '' }: Parts = {}): string {
  return `${around}static_resources:
  clusters:
${clusters.join('')}  listeners:
  - name: l
    address: {socket_address: {address: 127.0.0.1, port_value: 1}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: x
          route_config:
              virtual_hosts:
${hosts.join('')}          http_filters:
          - name: r
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
`
}

interface Outcome {
  readonly message: unknown
  readonly warnings: readonly string[]
  readonly error: string
}

function outcome(load: () => LoadedMessage<object>): Outcome & { loaded: LoadedMessage<object> | null } {
  try {
    const loaded = load()
    return { message: structuredClone(loaded.message), warnings: loaded.warnings, error: '', loaded }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return { message: null, warnings: [], error: error.message, loaded: null }
  }
}

t.test('bootstraps with long lists', async t => {
  const path = join(t.testdir(), 'b.yaml')
  /** What a bootstrap is must not depend on whether it is read in parts: files of other kinds never are. */
  const compare = (content: string, what: string, allowUnknown = false): ReturnType<typeof outcome> => {
    writeFileSync(path, content)
    const whole = outcome(() => loadFile<object>(BOOTSTRAP, path, allowUnknown ? 'warn' : 'reject'))
    const parts = outcome(() => loadBootstrap({ path, allowUnknown }))
    const { loaded: _, ...expected } = whole
    const { loaded, ...found } = parts
    t.strictSame(found, expected, what)
    return { ...found, loaded }
  }
  const statics = (loaded: LoadedMessage<object> | null): object =>
    (loaded!.message as { static_resources: object }).static_resources
  const inParts = (loaded: LoadedMessage<object> | null): boolean => packedListOf(statics(loaded), 'clusters') !== null

  t.test('are the same message as when they are read whole', async t => {
    const { loaded } = compare(text(), 'all of it')
    t.ok(inParts(loaded), 'the clusters are bytes')
    t.match(elementOf(statics(loaded), 'clusters', 7), { name: 'cluster 7' })
    const [listener] = (statics(loaded) as { listeners: { filter_chains: { filters: object[] }[] }[] }).listeners
    const [filter] = listener!.filter_chains[0]!.filters as { typed_config: { message: { route_config: object } } }[]
    t.ok(shelfOf(filter!.typed_config.message.route_config)?.has('virtual_hosts'), 'and the virtual hosts')
  })

  t.test('short lists stay objects', async () => {
    const { loaded } = compare(text({ clusters: numbers.slice(5).map(clusterText) }), '255 clusters')
    t.notOk(inParts(loaded))
  })

  const broken: [string, (i: number) => string][] = [
    ['an unknown field', i => clusterText(i).replace('connect_timeout', 'conect_timeout')],
    ['a value of another type', i => clusterText(i).replace('0.25s', '[]')],
    ['a rule of the schema', i => clusterText(i).replace('0.25s', '-1s')],
    ['a name that is missing', i => clusterText(i).replace(/name: ".*"/, 'name: ""')],
    [
      'a oneof with two members',
      i => clusterText(i).replace('type: STATIC', 'type: STATIC\n    cluster_type: {name: x}'),
    ],
    ['no cluster at all', () => '  - just text\n'],
    ['null', () => '  -\n'],
    ['a list in the list', i => `  - - name: x${i}\n`],
    ['bad YAML', i => clusterText(i).replace('type: STATIC', 'type: [STATIC')],
    ['an alias that nobody defined', i => clusterText(i).replace('type: STATIC', 'type: *nobody')],
  ]
  for (const [what, make] of broken) {
    t.test(`the error for ${what} has the same words and place`, async t => {
      const clusters = numbers.map(i => (i === 258 ? make(i) : clusterText(i)))
      const { error } = compare(text({ clusters }), what)
      // What is valid all the same: null is an empty message, without a name; a list in a list is flattened.
      if (what !== 'a list in the list')
        t.match(error, what.startsWith('an alias') ? 'nobody' : /b\.yaml:\d+:\d+|line \d+/)
    })
  }

  t.test('the first mistake of the file is told, not the first of a long list', async t => {
    const hosts = numbers.map(i => (i === 3 ? hostText(i).replace('domains', 'domain') : hostText(i)))
    const { error } = compare(text({ hosts, around: 'nod: {}\n' }), 'two mistakes')
    t.match(error, 'nod')
  })

  t.test('unknown fields that are allowed are warned of', async t => {
    const clusters = numbers.map(i =>
      i > 256 ? clusterText(i).replace('type:', 'tipe: 1\n    type:') : clusterText(i),
    )
    const { warnings, loaded } = compare(text({ clusters }), 'allowed', true)
    t.equal(warnings.length, 3)
    t.notOk(inParts(loaded))
  })

  t.test('deprecated fields are warned of in the order of the file', async t => {
    const hosts = numbers.map(i => hostText(i).replace('timeout:', 'per_filter: 1\n                    timeout:'))
    compare(text({ hosts }), 'an error inside hosts')
    const old = (i: number): string =>
      clusterText(i).replace('connect_timeout', 'track_timeout_budgets: true\n    connect_timeout')
    const { warnings, loaded } = compare(text({ clusters: numbers.map(old) }), 'deprecated')
    t.equal(warnings.length, MANY)
    t.ok(inParts(loaded))
  })

  t.test(
    'anchors, merge keys, second documents, equal keys and lists where the schema has none: read whole',
    async t => {
      const anchors = numbers.map(i =>
        clusterText(i).replace('connect_timeout: 0.25s', `connect_timeout: ${i === 0 ? '&t 0.25s' : '*t'}`),
      )
      t.notOk(inParts(compare(text({ clusters: anchors }), 'anchors').loaded))
      compare(`${text()}---\nx: 1\n`, 'two documents')
      const again = `${text()}static_resources: {listeners: []}\n`
      compare(again, 'the last of equal keys')
      const twice = text().replace('  listeners:\n', `  clusters:\n${numbers.map(clusterText).join('')}  listeners:\n`)
      compare(twice, 'a long list that another hides')
      const struct = `node:\n  metadata:\n    static_resources:\n      clusters:\n${numbers.map(i => `      - ${i}\n`).join('')}`
      compare(struct, 'in a Struct')
      const messages = numbers.map(i => `      - name: c${i}\n`).join('')
      const named = compare(
        `node:\n  metadata:\n    static_resources:\n      clusters:\n${messages}`,
        'in a Struct, as messages',
      )
      t.match(named.message, { node: { metadata: { static_resources: { clusters: [{ name: 'c0' }] } } } })
    },
  )

  t.test('JSON is read in parts, too', async t => {
    const json = join(t.testdir(), 'b.json')
    const cluster = (i: number): object => ({ name: `c${i}`, type: 'STATIC', connect_timeout: '1s' })
    const host = (i: number): object => ({ name: `h${i}`, domains: [`h${i}`] })
    const routes = { route_config: { virtual_hosts: numbers.map(host) }, stat_prefix: 'x' }
    const filter = { name: 'hcm', typed_config: { '@type': HCM, ...routes } }
    const statics = {
      clusters: numbers.map(cluster),
      listeners: [{ name: 'l', filter_chains: [{ filters: [filter] }] }],
    }
    const write = (value: object): [ReturnType<typeof outcome>, ReturnType<typeof outcome>] => {
      writeFileSync(json, JSON.stringify(value))
      return [outcome(() => loadFile<object>(BOOTSTRAP, json)), outcome(() => loadBootstrap({ path: json }))]
    }
    const [whole, parts] = write({ static_resources: statics })
    t.strictSame(parts.message, whole.message)
    t.ok(packedListOf((parts.loaded!.message as { static_resources: object }).static_resources, 'clusters'))
    const [badWhole, bad] = write({ static_resources: { ...statics, clusters: [...statics.clusters, { nam: 'x' }] } })
    t.match(bad.error, 'clusters[260].nam')
    t.equal(bad.error, badWhole.error)
  })

  t.test('--config-yaml is merged over it', async t => {
    writeFileSync(path, text())
    const { message } = loadBootstrap({
      path,
      yaml: 'static_resources: {clusters: [{name: last, connect_timeout: 1s}]}',
    })
    t.equal(message.static_resources?.clusters?.length, MANY + 1)
    t.equal(message.static_resources?.clusters?.at(-1)?.name, 'last')
  })

  t.test('any small damage has the same outcome either way', async () => {
    const random = new XorShift(7)
    const whole = text()
    const bits = [
      '\n',
      ' ',
      '  ',
      '- ',
      ': ',
      '#',
      '"',
      "'",
      '[',
      '}',
      '&a ',
      '*a',
      '|',
      '~',
      'x',
      '0',
      '!t ',
      '\t',
      '? ',
      ',',
    ]
    for (let i = 0; i < 25; i++) {
      const at = random.next() % whole.length
      const cut = random.next() % 4
      compare(whole.slice(0, at) + bits[random.next() % bits.length]! + whole.slice(at + cut), `damage ${i} at ${at}`)
    }
  })
})
