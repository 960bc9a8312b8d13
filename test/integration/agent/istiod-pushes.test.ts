import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { missingForNamespaces } from '../../../src/lab/network.ts'

const ENVOY = join(import.meta.dirname, '../../../bin/envoy')
const POD = join(import.meta.dirname, 'pushed-pod.ts')

const missing = missingForNamespaces()
if (missing !== undefined) {
  process.stderr.write(`\n*** SKIPPED: a pod with what a real istiod pushed is not tested here: ${missing}\n\n`)
  t.plan(0, missing)
  process.exit(0)
}

t.test('what a real istiod pushed goes through the agent, all of it is accepted, and the pod is ready', async t => {
  // The listeners of a sidecar have fixed ports.
  const inside = 'ip link set lo up && exec "$0" "$1" "$2"'
  const { stdout, stderr, status } = spawnSync('unshare', ['-n', 'sh', '-c', inside, process.execPath, POD, ENVOY], {
    encoding: 'utf8',
    timeout: 60_000,
    // Without the variables by which tap follows child processes.
    env: { PATH: process.env.PATH },
  })
  t.equal(status, 0, stderr)
  t.same(JSON.parse(stdout), {
    ready: 200,
    answered: ['CDS', 'EDS', 'LDS', 'NDS', 'RDS'],
    rejected: [],
    listeners: 22,
    hosts: 10,
  })
})
