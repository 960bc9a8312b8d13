/**
 * All micro benches against the committed baseline: `npm run bench:micro [-- part of a name …]`. Figures are multiples of a fixed loop
 * in the same process, so the baseline holds on other machines, roughly. What is more than a tenth above it is measured twice again;
 * what stays there is reported and makes the status 1. `--update` writes the baseline; `--smoke` only sees that everything runs.
 */
import { fork } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Change, compare, TOLERANCE } from './compare.ts'
import type { Figure } from './reference.ts'

const BENCHES = ['http1', 'hpack', 'http2', 'route', 'balancers', 'formatter', 'stats', 'config', 'request']
const BASELINE = join(import.meta.dirname, 'baseline.json')
const AGAIN = 2

const { values, positionals } = parseArgs({
  options: { update: { type: 'boolean', default: false }, smoke: { type: 'boolean', default: false } },
  allowPositionals: true,
})
const wanted = (name: string): boolean => positionals.length === 0 || positionals.some(part => name.includes(part))
const baseline = JSON.parse(readFileSync(BASELINE, 'utf8')) as Record<string, number>
const ratios: Record<string, number> = {}
const worse: Change[] = []

for (const bench of BENCHES.filter(wanted)) {
  const best = new Map<string, Figure>()
  await run(bench, best)
  if (values.smoke) {
    console.log(`${bench}: ${best.size} figures`)
    continue
  }
  for (let again = AGAIN; again > 0 && (values.update || worseOf(bench, best).length > 0); again--)
    await run(bench, best)
  for (const [name, { ratio }] of best) ratios[keyOf(bench, name)] = Number(ratio.toPrecision(4))
  for (const figure of best.values()) print(bench, figure)
  worse.push(...worseOf(bench, best))
}
if (values.update) writeFileSync(BASELINE, `${JSON.stringify({ ...baseline, ...ratios }, null, 2)}\n`)
else if (worse.length > 0) {
  console.log(`\nmore than ${Math.round(TOLERANCE * 100)} % above the baseline:`)
  for (const { name, before, after } of worse)
    console.log(`  ${name}: ${before.toFixed(2)} -> ${after.toFixed(2)} (${(after / before).toFixed(2)} x)`)
  process.exitCode = 1
}

/** Keeps the better one of two figures of a name: noise only ever adds. */
function run(bench: string, best: Map<string, Figure>): Promise<void> {
  return new Promise((resolve, reject) => {
    const env = values.smoke ? { ...process.env, REMORA_MICRO_SMOKE: '1' } : process.env
    const child = fork(join(import.meta.dirname, `${bench}.ts`), {
      env,
      execArgv: ['--disable-warning=ExperimentalWarning'],
    })
    child.on('message', (figure: Figure) => {
      const known = best.get(figure.name)
      if (known === undefined || figure.ratio < known.ratio) best.set(figure.name, figure)
    })
    child.once('error', reject)
    child.once('close', code => {
      if (code !== 0) reject(new Error(`bench/micro/${bench}.ts ended with ${code}`))
      else if (best.size === 0) reject(new Error(`bench/micro/${bench}.ts reported nothing`))
      else resolve()
    })
  })
}

function keyOf(bench: string, name: string): string {
  return `${bench}: ${name}`
}

function worseOf(bench: string, best: ReadonlyMap<string, Figure>): Change[] {
  return compare(baseline, new Map([...best].map(([name, { ratio }]) => [keyOf(bench, name), ratio])))
}

function print(bench: string, { name, ns, ratio }: Figure): void {
  const before = baseline[keyOf(bench, name)]
  const against = before === undefined ? 'new' : `${(ratio / before).toFixed(2)} x baseline`
  console.log(
    `${keyOf(bench, name).padEnd(66)} ${ns.toFixed(0).padStart(8)} ns ${ratio.toFixed(2).padStart(9)} ref  ${against}`,
  )
}
