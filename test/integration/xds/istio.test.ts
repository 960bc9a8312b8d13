import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { encodeDeltaResponse } from '../../../src/xds/delta-wire.ts'
import { certificate, certificatePath } from '../../harness/certificates.ts'
import { type PushType, readPush } from '../../harness/istio-pushes.ts'
import { allocatePort } from '../../harness/ports.ts'
import { ScriptedControlPlane, type SeenRequest } from './control-plane.ts'

const ENVOY = fileURLToPath(new URL('../../../bin/envoy', import.meta.url))
const BOOTSTRAP = new URL('../../fixtures/istio/bootstrap-sleep.json', import.meta.url)

interface Bootstrap {
  admin: { address: { socket_address: { port_value: number } } }
  static_resources: { listeners: unknown[] }
}

/** Requests until one fits; those before it are given, too. */
async function until(plane: ScriptedControlPlane, fits: (r: SeenRequest) => boolean): Promise<SeenRequest[]> {
  const seen: SeenRequest[] = []
  while (!seen.some(fits)) {
    await plane.requests(1)
    seen.push(...plane.take())
  }
  return seen
}

t.test(
  "Istio's bootstrap: incremental ADS and SDS over the agent's sockets, what istiod pushed byte by byte",
  async t => {
    // Paths of sockets are limited to 107 bytes; the bootstrap has them relative to the working directory.
    const cwd = mkdtempSync(join(tmpdir(), 'istio-'))
    t.teardown(() => rmSync(cwd, { recursive: true }))
    const listen = async (path: string): Promise<ScriptedControlPlane> => {
      mkdirSync(join(cwd, dirname(path)), { recursive: true })
      const plane = new ScriptedControlPlane()
      await plane.listen(`unix:${join(cwd, path)}`)
      t.teardown(() => plane.close())
      return plane
    }
    const ads = await listen('etc/istio/proxy/XDS')
    const sds = await listen('var/run/secrets/workload-spiffe-uds/socket')
    const bootstrap = JSON.parse(readFileSync(BOOTSTRAP, 'utf8')) as Bootstrap
    const admin = await allocatePort()
    bootstrap.admin.address.socket_address.port_value = admin
    // Fixed ports of the pod, and filters that are no matter of xDS.
    bootstrap.static_resources.listeners = []
    writeFileSync(join(cwd, 'bootstrap.json'), JSON.stringify(bootstrap))
    const args = ['-c', 'bootstrap.json', '--concurrency', '1', '--disable-hot-restart', '-l', 'off']
    const child = spawn(ENVOY, args, { cwd, stdio: 'ignore' })
    t.teardown(async () => {
      if (child.exitCode !== null) return
      child.kill('SIGTERM')
      await once(child, 'exit')
    })
    const push = (type: PushType): string => {
      const response = readPush('base-default-sleep', type)
      ads.sendBytes(encodeDeltaResponse(response))
      return response.nonce
    }
    const answered = (nonce: string) => (r: SeenRequest) => r.nonce === nonce

    const [first] = await until(ads, r => r.type === 'CDS')
    t.match(first?.node, /^sidecar~10\.77\.0\.10~sleep\.demo~/)
    const clusters = push('CDS')
    const afterClusters = await until(ads, answered(clusters))
    t.equal(afterClusters.at(-1)?.error, undefined, 'the clusters are accepted')
    const wanted = afterClusters.find(r => r.type === 'EDS')?.subscribe ?? []
    t.equal(wanted.length, readPush('base-default-sleep', 'EDS').resources.length, 'endpoints of all in one request')
    t.ok(
      afterClusters.every(r => r.node === undefined),
      'the node comes once',
    )

    const secrets = await until(sds, r => r.names?.[0] === 'ROOTCA')
    t.same(
      secrets.map(r => r.names?.[0]),
      ['default', 'ROOTCA'],
      'one stream for all clusters and each secret',
    )
    t.equal((await until(ads, answered(push('EDS')))).at(-1)?.error, undefined, 'the endpoints are accepted')
    const { cert, key } = certificate('client')
    const pem = (bytes: Buffer): object => ({ inline_bytes: bytes.toString('base64') })
    sds.send(
      'SDS',
      '1',
      [{ name: 'default', tls_certificate: { certificate_chain: pem(cert), private_key: pem(key) } }],
      'StreamSecrets default',
    )
    const trusted_ca = pem(readFileSync(certificatePath('ca.pem')))
    sds.send('SDS', '1', [{ name: 'ROOTCA', validation_context: { trusted_ca } }], 'StreamSecrets ROOTCA')
    await sds.requests(2)
    t.same(
      sds.take().map(r => [r.names?.[0], r.version, r.error]),
      [
        ['default', '1', undefined],
        ['ROOTCA', '1', undefined],
      ],
    )

    // With endpoints and secrets the clusters are warm, and listeners are asked for.
    t.match(await until(ads, r => r.type === 'LDS'), [{ type: 'LDS', nonce: '', subscribe: [] }])
    const listeners = await until(ads, answered(push('LDS')))
    t.match(listeners.at(-1), { type: 'LDS' })
    const routes = listeners.find(r => r.type === 'RDS')?.subscribe ?? []
    if (routes.length > 0) {
      const answer = (await until(ads, answered(push('RDS')))).at(-1)
      t.equal(answer?.error, undefined, 'the routes are accepted')
    }
    const stats = await (await fetch(`http://127.0.0.1:${admin}/stats?filter=^cluster_manager`)).text()
    t.match(stats, 'cluster_manager.warming_clusters: 0\n')
    t.match(stats, 'cluster_manager.cds.update_success: 1\n')
    t.comment(String(listeners.at(-1)?.error ?? 'listeners accepted').slice(0, 500))
  },
)
