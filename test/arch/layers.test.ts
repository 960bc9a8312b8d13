import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** Highest first: a folder imports from itself and from those below it, never from those above. */
const LAYERS = [
  'cmd',
  'lab',
  'iptables',
  'agent',
  'admin',
  'inspect',
  'server',
  'xds',
  'worker',
  'extensions.ts',
  'listener',
  'network',
  'http',
  'routing',
  'upstream',
  'telemetry',
  'codec',
  'io',
  'config',
  'stats',
  'base',
]

/** Type-only edges upwards that the contracts need; each with its reason. Nothing may be imported at run time this way. */
const TYPE_EXCEPTIONS: Readonly<Record<string, string>> = {
  'config/header-match.ts': 'matchers run over header blocks, and every layer above config uses them',
  'config/endpoint.ts': "addresses are the io layer's plain data",
  'io/connection.ts': 'a connection carries the facts its filters share; io itself does not look at them',
  'io/socket-connection.ts': 'the same',
  'config/services.ts': 'WorkerServices names what a worker offers; extensions of every layer take it',
}

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts') && !entry.name.endsWith('.d.ts'))
    .map(entry => relative(root, join(entry.parentPath, entry.name)))
}

function layerOf(path: string): string {
  return relative('src', path).split('/')[0]!
}

t.test('imports go from higher layers to lower ones only', t => {
  const wrong: string[] = []
  const excused = new Set<string>()
  for (const file of sources('src')) {
    const text = readFileSync(join(root, file), 'utf8')
    for (const match of text.matchAll(/^(import|export)( type)?[^'"]*?from '(\.[^']+)'/gm)) {
      const target = normalize(join(dirname(file), match[3]!))
      const from = LAYERS.indexOf(layerOf(file))
      const to = LAYERS.indexOf(layerOf(target))
      if (from < 0) wrong.push(`${file}: folder ${layerOf(file)} is in no layer`)
      else if (to < from && target.startsWith('src/')) {
        const typeOnly = match[2] !== undefined
        // A reader names the plain data it makes; the layer that uses the data keeps its type.
        if (typeOnly && layerOf(file) === 'config' && target.endsWith('-config.ts')) continue
        if (typeOnly && TYPE_EXCEPTIONS[relative('src', file)] !== undefined) excused.add(relative('src', file))
        else wrong.push(`${file} imports ${target}`)
      }
    }
  }
  t.same(wrong, [])
  t.same(excused, new Set(Object.keys(TYPE_EXCEPTIONS)), 'no exception that nobody needs')
  t.end()
})

t.test('no kitchen sinks: utils, helpers, common, misc', t => {
  t.same(
    sources('src').filter(file => /(^|\/)(utils?|helpers?|common|misc)(\.ts|\/)/i.test(file)),
    [],
  )
  t.end()
})

t.test('files stay below 500 lines', t => {
  const long = sources('src').filter(file => readFileSync(join(root, file), 'utf8').split('\n').length > 500)
  t.same(long, [])
  t.end()
})
