import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { allocatePort } from '../../harness/ports.ts'
import { settled } from '../../harness/until.ts'
import { bootstrap } from './bootstrap.ts'
import { essence } from './compare.ts'
import { ScriptedControlPlane, type SeenRequest } from './control-plane.ts'
import { DELTA_SCENARIOS } from './delta-scenarios.ts'
import { type DumpEssence, dumpOf, statsOf } from './dump-essence.ts'
import { ECDS_SCENARIOS } from './ecds-scenarios.ts'
import { GONE, type RecordedStep } from './record-envoy.ts'
import { SDS_SCENARIOS } from './sds-scenarios.ts'
import { visit } from './visit.ts'

const ENVOY = fileURLToPath(new URL('../../../bin/envoy', import.meta.url))
/** What the real Envoy said, counted and dumped, by scenario (record-envoy.ts). */
const record = (set: string): Record<string, RecordedStep[]> =>
  JSON.parse(readFileSync(new URL(`../../fixtures/envoy/${set}-requests.json`, import.meta.url), 'utf8')) as Record<
    string,
    RecordedStep[]
  >
const RECORD = { ...record('delta'), ...record('sds'), ...record('ecds') }
const ALL = { ...DELTA_SCENARIOS, ...SDS_SCENARIOS, ...ECDS_SCENARIOS }

/** What went and came back at once goes on counting in Envoy while a worker still holds the old one; here it begins anew. */
const SHORT_LIVED: Readonly<Record<string, RegExp>> = {
  'coming and going': /^cluster\.a\./,
  // A client that comes between the answer to a secret and the worker's taking it over is counted once more.
  'secrets that never come': /downstream_context_secrets_not_ready$/,
  'listener and route rejections': /^http\.in\.rds\.r1\.update_attempt/,
}

/** Envoy refuses these secrets and shows them in its dump all the same; here the last good one is in use and shown. */
const REFUSED =
  /^(the key of another|a file that is not there|no certificate but|an authority that is none|keys of tickets, which)/
/** The same reason in other words: files by their path, which Envoy does not know by then, and types in any order. */
const OTHER_WORDS = /^(a file that is not there|the key of another|of neither type)/

/** What belongs to a cluster that is gone is let go sooner than in Envoy, and streams of their own have no order between them. */
const UNORDERED =
  /^(the cluster goes|its authority|all streams break|a cluster as Istio has it|a listener with the same)/

/** On a stream of its own, that nothing is wanted any more: Envoy says so before it ends the stream, here it is ended. */
const isGoodbye = ({ method, names }: SeenRequest): boolean => method === 'StreamSecrets' && names?.length === 0

function seen(requests: readonly SeenRequest[], step: string): object[] {
  const all = requests.map(r => essence(r, !OTHER_WORDS.test(step)))
  return UNORDERED.test(step) ? all.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)) : all
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  child.kill('SIGTERM')
  await once(child, 'exit')
}

for (const [name, steps] of Object.entries(ALL)) {
  t.test(`incremental, ${name}: requests, statistics and dump are those of the real Envoy`, async t => {
    const plane = new ScriptedControlPlane()
    const port = await plane.listen('127.0.0.1:0')
    const admin = await allocatePort()
    const config = join(t.testdir({}), 'bootstrap.json')
    writeFileSync(config, JSON.stringify(bootstrap({ port }, admin, {}, 'DELTA_GRPC')))
    const child = spawn(ENVOY, ['-c', config, '--concurrency', '1', '--disable-hot-restart', '-l', 'off'], {
      stdio: 'ignore',
    })
    t.teardown(async () => {
      plane.close()
      await ended(child)
    })
    const stats: Record<string, string> = {}
    let dump: DumpEssence = { versions: {}, resources: {} }
    for (const [i, step] of steps.entries()) {
      const recorded = RECORD[name]![i]!
      t.equal(step.name, recorded.step)
      step.run(plane)
      const requests = recorded.requests.filter(r => !isGoodbye(r))
      await plane.requests(requests.length)
      t.same(seen(plane.take(), step.name), seen(requests, step.name), step.name)
      for (const [stat, value] of Object.entries(recorded.stats)) {
        if (value === GONE || SHORT_LIVED[name]?.test(stat) === true) delete stats[stat]
        else stats[stat] = value
      }
      if (step.visit !== undefined) {
        const { visit: where } = step
        const met = await settled(
          () => visit(where),
          what => what === recorded.visit,
        )
        t.equal(met, recorded.visit, `${step.name}: visit`)
      }
      if (recorded.dump !== undefined) dump = recorded.dump
      if (!REFUSED.test(step.name)) {
        t.same(
          await settled(
            () => dumpOf(admin),
            found => isDeepStrictEqual(found, dump),
          ),
          dump,
          `${step.name}: dump`,
        )
      }
    }
    const counted = await settled(
      () => statsOf(admin),
      found => Object.entries(stats).every(([key, value]) => found[key] === value),
    )
    t.match(counted, stats, 'statistics')
  })
}
