/** What is exported is used by the product: what only tests use, or nobody, is a promise that nothing keeps. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('../../', import.meta.url))
/** Each with its reason. */
const ALLOWED: Readonly<Record<string, string>> = {
  encodeResponse: "the control plane's side of the wire, which tests play",
}

const DECLARED =
  /^export (?:declare )?(?:abstract )?(?:async )?(?:const|let|function\*?|class|type|interface|enum) ([A-Za-z_$][\w$]*)/gm

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && /\.(ts|sh|py)$/.test(entry.name) && !entry.name.endsWith('.d.ts'))
    .map(entry => relative(root, join(entry.parentPath, entry.name)))
}

/** Text without comments: a name in a comment is no use. */
function code(file: string): string {
  return readFileSync(join(root, file), 'utf8')
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '')
}

t.test('every export of src has a use outside tests', t => {
  const uses = new Map<string, number>()
  const texts = ['src', 'scripts', 'bench'].flatMap(sources).map(file => [file, code(file)] as const)
  for (const [, text] of texts) {
    for (const [word] of text.matchAll(/[A-Za-z_$][\w$]*/g)) uses.set(word, (uses.get(word) ?? 0) + 1)
  }
  const dead: string[] = []
  const excused = new Set<string>()
  for (const [file, text] of texts) {
    if (!file.startsWith('src/')) continue
    for (const [, name = ''] of text.matchAll(DECLARED)) {
      // Both a value and its type have the name in their own declaration.
      const declarations = [...text.matchAll(DECLARED)].filter(([, other]) => other === name).length
      if ((uses.get(name) ?? 0) > declarations) continue
      if (ALLOWED[name] === undefined) dead.push(`${file}: ${name}`)
      else excused.add(name)
    }
  }
  t.same(dead, [])
  t.same(excused, new Set(Object.keys(ALLOWED)), 'no exception that nobody needs')
  t.end()
})
