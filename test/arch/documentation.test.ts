import { spawnSync } from 'node:child_process'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import packageJson from '../../package.json' with { type: 'json' }
import { registeredFactories } from '../../src/config/registry.ts'
import { registerExtensions } from '../../src/extensions.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

t.test('docs/support-matrix.md is what the code says', t => {
  const run = spawnSync(process.execPath, ['scripts/support-matrix.ts', '--check'], { cwd: root, encoding: 'utf8' })
  t.equal(run.status, 0, run.stderr)
  t.end()
})

t.test("no example of Envoy's waits for an extension that is there", t => {
  registerExtensions()
  const names = new Set(Array.from(registeredFactories(), factory => factory.name))
  const examples = JSON.parse(readFileSync(join(root, 'docs/examples-support.json'), 'utf8')) as { needs: string }[]
  const missing = examples.flatMap(({ needs }) => /registered implementation for '([^']+)'/.exec(needs)?.[1] ?? [])
  const there = missing.filter(name => names.has(name))
  t.same(there, [], 'run node scripts/support-matrix.ts --examples FOLDER')
  t.end()
})

t.test('files, links and commands that pages name exist', t => {
  const wrong: string[] = []
  for (const page of globSync(['*.md', 'docs/**/*.md', 'test/**/*.md'], { cwd: root })) {
    const text = readFileSync(join(root, page), 'utf8')
    const missing = (path: string, from = ''): void => {
      if (!existsSync(join(root, from, path))) wrong.push(`${page}: ${path}`)
    }
    for (const [, link = ''] of text.matchAll(/\]\((?!https?:)([^)#]+)/g)) missing(link, dirname(page))
    for (const [path] of text.matchAll(/(?<![\w./-])(?:src|test|scripts|bin|bench|docs|proto|\.ci)\/[\w./-]*\w/g)) {
      // What a run of the bench writes.
      if (!path.startsWith('bench/results')) missing(path)
    }
    for (const [, script = ''] of text.matchAll(/npm run (?:--silent )?([\w:]+)/g))
      if (!(script in packageJson.scripts)) wrong.push(`${page}: npm run ${script}`)
  }
  t.same(wrong, [])
  t.end()
})
