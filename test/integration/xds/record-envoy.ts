/**
 * Writes what the real Envoy answers to the scenarios: `node test/integration/xds/record-envoy.ts <envoy binary> [port] [set]`,
 * where a set is `ads`, `delta`, `sds`, `ecds` or `single`, by default all. The records are fixtures; the tests hold our client
 * against them.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bootstrap } from './bootstrap.ts'
import { ScriptedControlPlane, type SeenRequest } from './control-plane.ts'
import { DELTA_SCENARIOS } from './delta-scenarios.ts'
import { type DumpEssence, dumpOf, statsOf } from './dump-essence.ts'
import { ECDS_SCENARIOS } from './ecds-scenarios.ts'
import { SCENARIOS, type Step } from './scenarios.ts'
import { SDS_SCENARIOS } from './sds-scenarios.ts'
import { SINGLE_SCENARIOS, singleBootstrap } from './single-scenarios.ts'
import { visit } from './visit.ts'

/** Stands for the value of a statistic that is no longer there. */
export const GONE = 'gone'

/** A step is over when nothing has come for this long. */
const QUIET_MS = 400

export interface RecordedStep {
  readonly step: string
  readonly requests: readonly SeenRequest[]
  readonly stats: Readonly<Record<string, string>>
  /** Incremental protocol: what /config_dump says afterwards; left out when nothing changed. */
  readonly dump?: DumpEssence
  /** What the client saw. */
  readonly visit?: string
}

async function record(envoy: string, scenario: readonly Step[], port: number, set: string): Promise<RecordedStep[]> {
  const delta = set !== 'ads' && set !== 'single'
  const plane = new ScriptedControlPlane()
  await plane.listen(`127.0.0.1:${port}`)
  const directory = mkdtempSync(join(tmpdir(), 'xds-'))
  const config = join(directory, 'bootstrap.json')
  const made = bootstrap({ port }, port + 1, {}, delta ? 'DELTA_GRPC' : 'GRPC')
  writeFileSync(config, JSON.stringify(set === 'single' ? singleBootstrap(made) : made))
  const child = spawn(
    envoy,
    ['-c', config, '--concurrency', '1', '--disable-hot-restart', '-l', process.env['LEVEL'] ?? 'warning'],
    {
      stdio: ['ignore', 'ignore', process.env['LEVEL'] === undefined ? 'ignore' : 'inherit'],
    },
  )
  const steps: RecordedStep[] = []
  let before: Record<string, string> = {}
  let dumpBefore = ''
  try {
    for (const step of scenario) {
      step.run(plane)
      if (step.name === 'connect') await plane.requests(1)
      const requests: SeenRequest[] = []
      for (;;) {
        await sleep(/stream.* breaks?$/.test(step.name) && requests.length === 0 ? 1500 : QUIET_MS)
        const more = plane.take()
        if (more.length === 0) break
        requests.push(...more)
      }
      const now = await statsOf(port + 1)
      const changed = Object.fromEntries(
        Object.entries(now).filter(([k, v]) => before[k] !== v && !(before[k] === undefined && v === '0')),
      )
      for (const name of Object.keys(before)) if (now[name] === undefined) changed[name] = GONE
      before = now
      const dump = delta ? await dumpOf(port + 1) : undefined
      const news = dump !== undefined && JSON.stringify(dump) !== dumpBefore
      if (news) dumpBefore = JSON.stringify(dump)
      const seen = step.visit === undefined ? {} : { visit: await visit(step.visit) }
      steps.push({ step: step.name, requests, stats: changed, ...(news ? { dump } : {}), ...seen })
    }
  } finally {
    child.kill('SIGTERM')
    await once(child, 'exit')
    plane.close()
    rmSync(directory, { recursive: true })
  }
  return steps
}

const SETS: Readonly<Record<string, Readonly<Record<string, readonly Step[]>>>> = {
  ads: SCENARIOS,
  delta: DELTA_SCENARIOS,
  sds: SDS_SCENARIOS,
  ecds: ECDS_SCENARIOS,
  single: SINGLE_SCENARIOS,
}

const [envoy, port, only] = process.argv.slice(2)
if (envoy !== undefined && import.meta.main) {
  for (const [set, scenarios] of Object.entries(SETS)) {
    if (only !== undefined && only !== set) continue
    const recorded: Record<string, RecordedStep[]> = {}
    for (const [name, steps] of Object.entries(scenarios)) {
      recorded[name] = await record(envoy, steps, Number(port ?? 28400), set)
    }
    const out = new URL(`../../fixtures/envoy/${set}-requests.json`, import.meta.url)
    writeFileSync(out, `${JSON.stringify(recorded, null, 1)}\n`)
  }
}
