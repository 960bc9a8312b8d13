import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { allocatePort } from '../../harness/ports.ts'
import { bootstrap } from './bootstrap.ts'
import { essence } from './compare.ts'
import { ScriptedControlPlane } from './control-plane.ts'
import { DELTA_SCENARIOS } from './delta-scenarios.ts'
import { dumpOf, statsOf } from './dump-essence.ts'
import { GONE, type RecordedStep } from './record-envoy.ts'

const ENVOY = fileURLToPath(new URL('../../../bin/envoy', import.meta.url))
/** What the real Envoy said, counted and dumped, by scenario (record-envoy.ts). */
const RECORD = JSON.parse(
  readFileSync(new URL('../../fixtures/envoy/delta-requests.json', import.meta.url), 'utf8'),
) as Record<string, RecordedStep[]>

/** What went and came back at once goes on counting in Envoy while a worker still holds the old one; here it begins anew. */
const SHORT_LIVED: Readonly<Record<string, RegExp>> = {
  'coming and going': /^cluster\.a\./,
  'listener and route rejections': /^http\.in\.rds\.r1\.update_attempt/,
}

/** The value as soon as it is as expected, or as it is when that takes too long. */
async function settled<T>(read: () => Promise<T>, expected: (value: T) => boolean): Promise<T> {
  const deadline = Date.now() + 5000
  for (;;) {
    const value = await read()
    if (expected(value) || Date.now() > deadline) return value
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  child.kill('SIGTERM')
  await once(child, 'exit')
}

for (const [name, steps] of Object.entries(DELTA_SCENARIOS)) {
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
    for (const [i, step] of steps.entries()) {
      const recorded = RECORD[name]![i]!
      t.equal(step.name, recorded.step)
      step.run(plane)
      await plane.requests(recorded.requests.length)
      t.same(
        plane.take().map(r => essence(r)),
        recorded.requests.map(r => essence(r)),
        step.name,
      )
      for (const [stat, value] of Object.entries(recorded.stats)) {
        if (value === GONE || SHORT_LIVED[name]?.test(stat) === true) delete stats[stat]
        else stats[stat] = value
      }
      const { dump } = recorded
      if (dump !== undefined) {
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
