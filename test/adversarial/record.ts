/**
 * Records request-smuggling.json anew: `ENVOY_BINARY=… node test/adversarial/record.ts`. Where Remora differs is printed; a
 * difference may only make it stricter, and needs its row in docs/differences.md.
 */
import { writeFileSync } from 'node:fs'
import { runRequestCorpus } from './request-smuggling.ts'

const oracle = process.env['ENVOY_BINARY']
if (oracle === undefined) throw new Error('ENVOY_BINARY must name the real Envoy')
const envoy = await runRequestCorpus(oracle)
const remora = await runRequestCorpus()
const different = [...remora].filter(([name, outcome]) => envoy.get(name) !== outcome)
for (const [name, outcome] of different) console.log(`${name}\n  envoy   ${envoy.get(name)}\n  remora  ${outcome}`)
const record = { envoy: Object.fromEntries(envoy), remora: Object.fromEntries(different) }
writeFileSync(new URL('request-smuggling.json', import.meta.url), `${JSON.stringify(record, null, 2)}\n`)
