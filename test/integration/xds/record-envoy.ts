/**
 * Writes what the real Envoy answers to the scenarios: `node test/integration/xds/record-envoy.ts <envoy binary> [port]`.
 * The record is a fixture; the tests hold our client against it.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ScriptedControlPlane, type SeenRequest } from './control-plane.ts'
import { SCENARIOS } from './scenarios.ts'

/** A step is over when nothing has come for this long. */
const QUIET_MS = 400

export interface RecordedStep {
  readonly step: string
  readonly requests: readonly SeenRequest[]
  readonly stats: Readonly<Record<string, string>>
}

function bootstrap(port: number, admin: number): string {
  return JSON.stringify({
    node: { id: 'test-node', cluster: 'test' },
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: admin } } },
    dynamic_resources: {
      ads_config: {
        api_type: 'GRPC',
        transport_api_version: 'V3',
        set_node_on_first_message_only: true,
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds' } }],
      },
      cds_config: { ads: {}, resource_api_version: 'V3' },
      lds_config: { ads: {}, resource_api_version: 'V3' },
    },
    static_resources: {
      clusters: [
        {
          name: 'xds',
          type: 'STATIC',
          connect_timeout: '1s',
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
          load_assignment: {
            cluster_name: 'xds',
            endpoints: [
              {
                lb_endpoints: [
                  { endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } },
                ],
              },
            ],
          },
        },
      ],
    },
  })
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
  writeFileSync(config, bootstrap(port, port + 1))
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
const recorded: Record<string, RecordedStep[]> = {}
for (const name of Object.keys(SCENARIOS)) recorded[name] = await record(envoy!, name, Number(port ?? 28400))
writeFileSync(
  new URL('../../fixtures/envoy/ads-requests.json', import.meta.url),
  `${JSON.stringify(recorded, null, 1)}\n`,
)
