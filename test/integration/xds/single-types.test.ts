/** CDS, EDS, LDS and RDS on streams of their own, without ADS: the control plane sees what it sees of the real Envoy. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { bootstrap } from './bootstrap.ts'
import { essence } from './compare.ts'
import { ScriptedControlPlane } from './control-plane.ts'
import type { RecordedStep } from './record-envoy.ts'
import { SINGLE_SCENARIOS, singleBootstrap } from './single-scenarios.ts'

const ENVOY = fileURLToPath(new URL('../../../bin/envoy', import.meta.url))
const RECORD = JSON.parse(
  readFileSync(new URL('../../fixtures/envoy/single-requests.json', import.meta.url), 'utf8'),
) as Record<string, RecordedStep[]>

for (const [name, steps] of Object.entries(SINGLE_SCENARIOS)) {
  t.test(`${name}: the same requests as from the real Envoy`, async t => {
    const plane = new ScriptedControlPlane()
    const port = await plane.listen('127.0.0.1:0')
    const config = join(t.testdir({}), 'bootstrap.json')
    writeFileSync(config, JSON.stringify(singleBootstrap(bootstrap({ port }, 0))))
    const child = spawn(ENVOY, ['-c', config, '--concurrency', '1', '--disable-hot-restart', '-l', 'off'], {
      stdio: 'ignore',
    })
    t.teardown(async () => {
      plane.close()
      if (child.exitCode === null) {
        child.kill('SIGTERM')
        await once(child, 'exit')
      }
    })
    for (const [i, step] of steps.entries()) {
      const recorded = RECORD[name]![i]!
      step.run(plane)
      await plane.requests(recorded.requests.length)
      // Streams of their own have no order between them.
      const sorted = (all: RecordedStep['requests']): object[] =>
        all.map(r => essence(r)).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
      t.same(sorted(plane.take()), sorted(recorded.requests), step.name)
    }
  })
}
