/** The 108 wrong (and a few right) configurations that the real Envoy was asked about; see test/fixtures/config/errors.json. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ConfigError } from '../../../src/base/errors.ts'
import { loadBootstrap } from '../../../src/config/load.ts'

interface Case {
  readonly n: number
  readonly name: string
  readonly args: readonly string[]
  readonly config: string | null
  readonly validate: { readonly exit: number; readonly stdout: string; readonly stderr: string }
}

const cases: Case[] = JSON.parse(readFileSync(new URL('../../fixtures/config/errors.json', import.meta.url), 'utf8'))

/**
 * Refused by Envoy for what its factories find (clusters, listeners, routes, TLS, files): reading alone accepts
 * them; test/unit/server/envoy-errors.test.ts lets the whole server refuse them. */
const FACTORIES = [
  28, 35, 36, 38, 39, 40, 42, 43, 46, 47, 49, 50, 51, 53, 54, 56, 58, 59, 60, 63, 66, 67, 68, 69, 70, 74, 75, 79, 80,
  81, 83, 86, 102,
]
/** Command line, checked with the flags. */
const FLAGS = [91, 92, 93, 94, 95, 96, 103, 104, 107]
/** yaml-cpp's own words and positions: ours have to be a syntax error, the text may differ. */
const YAML_WORDS = [5, 6, 98]

const dir = t.testdir()

for (const c of cases) {
  if (FLAGS.includes(c.n)) continue
  const file = /CFGDIR\/([^'\n ]+)/.exec(c.validate.stderr + c.validate.stdout)?.[1] ?? `c${c.n}.yaml`
  const yaml = argument(c.args, '--config-yaml')
  const path = c.name === 'no -c at all' ? undefined : join(dir, file)
  if (path !== undefined && c.name !== 'config file missing') writeFileSync(path, c.config ?? '')
  const load = () => loadBootstrap({ path, yaml, allowUnknown: c.args.includes('--allow-unknown-static-fields') })

  if (c.validate.exit === 0 || FACTORIES.includes(c.n)) {
    t.test(`${c.n}: "${c.name}" is read without an error`, t => {
      load()
      t.end()
    })
    continue
  }
  t.test(`${c.n}: "${c.name}" is refused in Envoy's words`, t => {
    const error = failure(load)
    const wanted = normalise(c.validate.stderr.replaceAll('CFGDIR', dir))
    if (YAML_WORDS.includes(c.n)) t.equal(error.code, 'CONFIG_SYNTAX')
    else t.equal(normalise(error.envoyText), wanted)
    t.end()
  })
}

t.test('an error names file, line, column, path and the nearest name', t => {
  const path = join(dir, 'place.yaml')
  writeFileSync(
    path,
    'node: {id: a, cluster: b}\nstatic_resources:\n  clusters:\n  - name: c\n    conect_timeout: 1s\n  - name: d\n    lb_polcy: RANDOM\n',
  )
  const error = failure(() => loadBootstrap({ path }))
  t.equal(error.code, 'CONFIG_UNKNOWN_FIELD')
  t.equal(error.line, 5)
  t.equal(error.column, 5)
  t.match(error.message, `at ${path}:5:5, static_resources.clusters[0].conect_timeout`)
  t.match(error.message, "did you mean 'connect_timeout'?")
  t.match(
    error.message,
    "also unknown: static_resources.clusters[1].lb_polcy (did you mean 'lb_policy'?)",
    'all mistakes in one run',
  )
  t.match(error.envoyText, 'message envoy.config.cluster.v3.Cluster, near 5:5: no such field:')
  t.end()
})

t.test('a broken rule has its place in the file, through an Any', t => {
  const path = join(dir, 'rule.yaml')
  writeFileSync(
    path,
    [
      'static_resources:',
      '  listeners:',
      '  - filterChains:',
      '    - filters:',
      '      - name: hcm',
      '        typed_config:',
      '          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
      '          stat_prefix: ""',
      '          rds: {route_config_name: r, config_source: {ads: {}}}',
    ].join('\n'),
  )
  const error = failure(() => loadBootstrap({ path }))
  t.equal(
    error.envoyText,
    'Proto constraint validation failed (HttpConnectionManagerValidationError.StatPrefix: value length must be at least 1 characters)',
  )
  t.equal(error.path, 'static_resources.listeners[0].filter_chains[0].filters[0].typed_config.<any>.stat_prefix')
  t.equal(error.line, 8)
  t.end()
})

t.test('--config-yaml merges as protobuf does', t => {
  const path = join(dir, 'merge.yaml')
  writeFileSync(path, 'node: {id: a, cluster: b}\nstatic_resources: {clusters: [{name: c}]}\n')
  const { message } = loadBootstrap({ path, yaml: 'node: {id: z}\nstatic_resources: {clusters: [{name: d}]}' })
  t.strictSame(message.node, { id: 'z', cluster: 'b' })
  t.strictSame(
    message.static_resources?.clusters?.map(c => c.name),
    ['c', 'd'],
  )
  t.end()
})

t.test('text protobuf is refused with advice', t => {
  t.match(failure(() => loadBootstrap({ path: '/x/a.pb_text' })).message, 'not supported')
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

function argument(args: readonly string[], name: string): string | undefined {
  const i = args.indexOf(name)
  return i < 0 ? undefined : args[i + 1]
}

/** Drops what is random or belongs to the log line: prefix, blanks, positions, dumps of the message. */
function normalise(text: string): string {
  return text
    .replace(/^\[TS\][\s\S]*?error initializing configuration '[^']*': /, '')
    .replace(/\s+/g, ' ')
    .replace(/, near \d+:\d+( \(offset \d+\))?/, '')
    .replace(/^goo\.gle\/debug.*?(Proto constraint validation failed)/, '$1')
    .replace(/(Expected positive duration: )(goo\.gle\/debug\w+ )?/, '$1')
    .replace(/^(Unable to parse JSON as proto \(INVALID_ARGUMENT: .*?\)): [{[a].*$/, '$1')
    .trim()
}
