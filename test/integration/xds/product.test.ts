import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { bootstrap } from './bootstrap.ts'
import { essence, RECORD } from './compare.ts'
import { ScriptedControlPlane } from './control-plane.ts'
import { SCENARIOS } from './scenarios.ts'

const ENVOY = fileURLToPath(new URL('../../../bin/envoy', import.meta.url))

for (const [name, steps] of Object.entries(SCENARIOS)) {
  t.test(`bin/envoy, ${name}: the control plane sees the same requests as from Envoy`, async t => {
    const plane = new ScriptedControlPlane()
    const port = await plane.listen('127.0.0.1:0')
    const config = join(t.testdir({}), 'bootstrap.json')
    writeFileSync(config, JSON.stringify(bootstrap({ port }, 0)))
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
      t.same(
        plane.take().map(r => essence(r)),
        recorded.requests.map(r => essence(r)),
        step.name,
      )
    }
  })
}
