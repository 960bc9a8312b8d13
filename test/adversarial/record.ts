/**
 * Records the outcomes of the corpora anew: `ENVOY_BINARY=… node test/adversarial/record.ts [corpus…]`. Where Remora differs
 * is printed; a difference may only make it stricter, and needs its row in docs/differences.md.
 */
import { writeFileSync } from 'node:fs'
import { corpora } from './corpora.ts'

const oracle = process.env['ENVOY_BINARY']
if (oracle === undefined) throw new Error('ENVOY_BINARY must name the real Envoy')
const wanted = process.argv.slice(2)
for (const [corpus, run] of Object.entries(corpora)) {
  if (wanted.length > 0 && !wanted.includes(corpus)) continue
  const envoy = await run({ command: oracle })
  const remora = await run()
  const different = [...remora].filter(([name, outcome]) => envoy.get(name) !== outcome)
  for (const [name, outcome] of different) console.log(`${name}\n  envoy   ${envoy.get(name)}\n  remora  ${outcome}`)
  const record = { envoy: Object.fromEntries(envoy), remora: Object.fromEntries(different) }
  writeFileSync(new URL(`${corpus}.json`, import.meta.url), `${JSON.stringify(record, null, 2)}\n`)
}
