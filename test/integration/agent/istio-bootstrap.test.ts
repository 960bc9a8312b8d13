/** Istio's own pilot-agent can run this proxy: its bootstraps are accepted as it writes them, with its command line. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'

const ENVOY = join(import.meta.dirname, '../../../src/cmd/envoy.ts')
const FOLDER = join(import.meta.dirname, '../../fixtures/agent/bootstrap')

function validate(name: string): { status: number | null; said: string } {
  const path = join(FOLDER, `${name}_golden.json`)
  const flags = ['--mode', 'validate', '-c', path, '--allow-unknown-static-fields', '-l', 'warning']
  const { status, stdout, stderr } = spawnSync(process.execPath, [ENVOY, ...flags], { encoding: 'utf8' })
  return { status, said: stdout + stderr }
}

for (const name of ['all', 'ambient', 'lrs', 'secure_metrics', 'stats_interval']) {
  t.test(`${name}: accepted`, async t => {
    const { status, said } = validate(name)
    t.equal(status, 0, said)
    t.notMatch(said, 'compressor_library')
  })
}

t.test('a tracer that is not there yet: accepted with a warning, so that the pod runs', async t => {
  const { status, said } = validate('tracing_datadog')
  t.equal(status, 0, said)
  t.match(said, 'the tracer envoy.config.trace.v3.DatadogConfig is not supported, no spans are reported')
})

t.test('a tracer that the real Envoy 1.40 has not either is refused in its words', async t => {
  const { status, said } = validate('tracing_lightstep')
  t.equal(status, 1)
  t.match(said, "Didn't find a registered implementation for 'envoy.tracers.lightstep'")
})
