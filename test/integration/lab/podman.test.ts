import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const script = fileURLToPath(new URL('../../../scripts/podman-proof', import.meta.url))
const asked = process.env.REMORA_LONG === '1'

/** Building an image takes minutes. */
t.test(
  'an injected pod runs under podman: init container, sidecar, application',
  { timeout: 1_200_000, skip: asked ? false : 'long: set REMORA_LONG=1' },
  t => {
    const run = spawnSync(script, { encoding: 'utf8' })
    if (run.status === 77) {
      process.stderr.write(run.stderr)
      t.pass('this machine cannot', { skip: run.stderr.trim().split('\n').at(-1) ?? true })
    } else t.equal(run.status, 0, `${run.stdout}\n${run.stderr}`)
    t.end()
  },
)
