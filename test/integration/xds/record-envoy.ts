/**
 * Writes what the real Envoy answers to the scenarios: `node test/integration/xds/record-envoy.ts <envoy binary> [port] [file]`.
 * The record is a fixture; the tests hold our client against it.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bootstrap } from './bootstrap.ts'
import { ScriptedControlPlane, type SeenRequest } from './control-plane.ts'
import { SCENARIOS } from './scenarios.ts'

/** A step is over when nothing has come for this long. */
const QUIET_MS = 400

export interface RecordedStep {
  readonly step: string
  readonly requests: readonly SeenRequest[]
  readonly stats: Readonly<Record<string, string>>
}

const INTERESTING =
  /^(cluster_manager\.cds\.|listener_manager\.lds\.|control_plane\.|http\.in\.rds\.|cluster\.(a|b|c)\.(update|version|init_fetch|assignment))/

async function stats(admin: number): Promise<Record<string, string>> {
  const body = await (await fetch(`http://127.0.0.1:${admin}/stats`)).text()
  const out: Record<string, string> = {}
  for (const line of body.split('\n')) {
    const [name, value] = line.split(': ')
    if (
      name === undefined ||
      value === undefined ||
      !INTERESTING.test(name) ||
      /update_time|duration|reload_time/.test(name)
    )
      continue
    out[name] = value
  }
  return out
}

async function record(envoy: string, name: string, port: number): Promise<RecordedStep[]> {
  const plane = new ScriptedControlPlane()
  await plane.listen(`127.0.0.1:${port}`)
  const directory = mkdtempSync(join(tmpdir(), 'xds-'))
  const config = join(directory, 'bootstrap.json')
  writeFileSync(config, JSON.stringify(bootstrap({ port }, port + 1)))
  const child = spawn(
    envoy,
    ['-c', config, '--concurrency', '1', '--disable-hot-restart', '-l', process.env['LEVEL'] ?? 'warning'],
    {
      stdio: ['ignore', 'ignore', process.env['LEVEL'] === undefined ? 'ignore' : 'inherit'],
    },
  )
  const steps: RecordedStep[] = []
  let before: Record<string, string> = {}
  try {
    for (const step of SCENARIOS[name]!) {
      step.run(plane)
      if (step.name === 'connect') await plane.requests(1)
      const requests: SeenRequest[] = []
      for (;;) {
        await sleep(
          step.name.includes('breaks') && step.name.includes('stream') && requests.length === 0 ? 1500 : QUIET_MS,
        )
        const more = plane.take()
        if (more.length === 0) break
        requests.push(...more)
      }
      const now = await stats(port + 1)
      const changed = Object.fromEntries(
        Object.entries(now).filter(([k, v]) => before[k] !== v && !(before[k] === undefined && v === '0')),
      )
      before = now
      steps.push({ step: step.name, requests, stats: changed })
    }
  } finally {
    child.kill('SIGTERM')
    await once(child, 'exit')
    plane.close()
    rmSync(directory, { recursive: true })
  }
  return steps
}

const [envoy, port] = process.argv.slice(2)
if (envoy !== undefined && import.meta.main) {
  const recorded: Record<string, RecordedStep[]> = {}
  for (const name of Object.keys(SCENARIOS)) recorded[name] = await record(envoy, name, Number(port ?? 28400))
  const out = process.argv[4] ?? new URL('../../fixtures/envoy/ads-requests.json', import.meta.url)
  writeFileSync(out, `${JSON.stringify(recorded, null, 1)}\n`)
}
