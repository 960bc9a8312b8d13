/** Istio's own pilot-agent can run this proxy: its bootstraps are accepted as it writes them, with its command line. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'

const ENVOY = join(import.meta.dirname, '../../../src/cmd/envoy.ts')
const FOLDER = join(import.meta.dirname, '../../fixtures/agent/bootstrap')

for (const name of [
  'all',
  'ambient',
  'lrs',
  'secure_metrics',
  'stats_interval',
  'tracing_datadog',
  'tracing_lightstep',
]) {
  t.test(`${name}: accepted; what has no effect is a warning`, async t => {
    const path = join(FOLDER, `${name}_golden.json`)
    const flags = ['--mode', 'validate', '-c', path, '--allow-unknown-static-fields', '-l', 'warning']
    const done = spawnSync(process.execPath, [ENVOY, ...flags], { encoding: 'utf8' })
    t.equal(done.status, 0, done.stdout + done.stderr)
    t.match(done.stderr, /compressor_library.*has no effect/, 'compression of the metrics')
  })
}
