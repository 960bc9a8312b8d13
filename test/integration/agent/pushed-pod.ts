/** Run in a network namespace of its own: a pod that gets what a real istiod pushed, byte by byte. Prints what was seen as JSON. */
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { certificatePath } from '../../harness/certificates.ts'
import { until } from '../../harness/until.ts'
import { ScriptedControlPlane } from '../xds/control-plane.ts'
import { ask, RunningAgent } from './running-agent.ts'

const PUSHES = join(import.meta.dirname, '../../fixtures/istio/pushes/base-default-sleep')
const SHORT: Readonly<Record<string, string>> = { CDS: 'CDS', EDS: 'EDS', LDS: 'LDS', RDS: 'RDS', NameTable: 'NDS' }
const binary = process.argv[2] as string

const plane = new ScriptedControlPlane()
const port = await plane.listen('127.0.0.1:0')
const agent = new RunningAgent()
mkdirSync(join(agent.folder, 'etc/certs'), { recursive: true })
for (const [from, to] of [
  ['client.pem', 'cert-chain.pem'],
  ['client.key', 'key.pem'],
  ['ca.pem', 'root-cert.pem'],
] as const) {
  copyFileSync(certificatePath(from), join(agent.folder, 'etc/certs', to))
}
agent.start(
  binary,
  { FILE_MOUNTED_CERTS: 'true', ISTIO_META_DNS_CAPTURE: 'true', CLOUD_PLATFORM: 'none' },
  { discoveryAddress: `127.0.0.1:${port}`, controlPlaneAuthPolicy: 'NONE' },
)
const answered = new Set<string>()
const rejected: string[] = []
let ready = 0
let names = ''
try {
  await until(async () => {
    for (const { type, error } of plane.take()) {
      if (error !== undefined) rejected.push(`${type}: ${error}`)
      const push = SHORT[type]
      if (push === undefined || answered.has(push)) continue
      answered.add(push)
      plane.sendBytes(gunzipSync(readFileSync(join(PUSHES, `${push}.pb.gz`))))
    }
    ready = (await ask(agent.status, '/healthz/ready')).status
    return ready === 200
  })
  names = (await ask(agent.status, '/debug/ndsz')).body
} catch {
  // What was seen until then says more.
}
const listeners = (await ask(agent.admin, '/listeners')).body.split('\n').filter(line => line !== '').length
const result = {
  ready,
  answered: [...answered].sort(),
  rejected,
  listeners,
  hosts: names === '' ? 0 : Object.keys((JSON.parse(names) as { table: object }).table).length,
}
await agent.stop()
plane.close()
process.stdout.write(`${JSON.stringify(ready === 200 ? result : { ...result, output: agent.output.slice(-3000) })}\n`)
process.exit(0)
