import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ServerCredentials } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { AdsServer } from '../../../src/lab/ads-server.ts'
import { certificate, certificatePath } from '../../harness/certificates.ts'
import { bootstrap } from './bootstrap.ts'
import { essence, RECORD } from './compare.ts'
import { encode, ScriptedControlPlane, TYPES } from './control-plane.ts'
import { assignment, edsCluster, listener, routes } from './resources.ts'
import { SCENARIOS } from './scenarios.ts'
import { ToyServer } from './toy-server.ts'

/** The toy server makes other words of what is not the matter of this test. */
const OTHER_WORDS = /listeners: (good and bad|two bad|one address twice)/

/** Paths of sockets are limited to 107 bytes; test directories are longer. */
function shortDirectory(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'xds-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  return directory
}

for (const [name, steps] of Object.entries(SCENARIOS)) {
  t.test(`${name}: the control plane sees the same requests as from Envoy, and statistics count the same`, async t => {
    const plane = new ScriptedControlPlane()
    const port = await plane.listen('127.0.0.1:0')
    const server = new ToyServer(bootstrap({ port }, 1))
    t.teardown(() => {
      server.client.close()
      plane.close()
    })
    server.start()
    const stats = new Map<string, string>()
    for (const [i, step] of steps.entries()) {
      const recorded = RECORD[name]![i]!
      step.run(plane)
      await plane.requests(recorded.requests.length)
      const seen = plane.take()
      const words = !OTHER_WORDS.test(step.name)
      t.same(
        seen.map(r => essence(r, words)),
        recorded.requests.map(r => essence(r, words)),
        step.name,
      )
      for (const [stat, value] of Object.entries(recorded.stats)) stats.set(stat, value)
    }
    const texts = new Map(server.stats.snapshot().texts.map(text => [text.name, `"${text.value}"`]))
    for (const [stat, value] of stats) {
      // Which of its first watches Envoy serves first is the order of a hash map: a is taken over before b is refused, or not.
      if (name.startsWith('listener') && /^cluster\.a\.update_(attempt|success)$/.test(stat)) continue
      // Counted by upstream/, which the toy server does not have.
      if (stat.endsWith('update_no_rebuild')) continue
      if (value.startsWith('"')) t.equal(texts.get(stat), value, stat)
      else t.equal(server.stats.value(stat), Number(value), stat)
    }
  })
}

t.test('initial_metadata is sent with every stream', async t => {
  const plane = new ScriptedControlPlane()
  const port = await plane.listen('127.0.0.1:0')
  const server = new ToyServer(bootstrap({ port }, 1))
  t.teardown(() => {
    server.client.close()
    plane.close()
  })
  server.start()
  await plane.requests(1)
  t.equal(plane.metadata[0]?.['x-token'], 'secret')
})

t.test('TLS to the control plane: its chain, its name when there is an SNI, our own certificate', async t => {
  const upstreamTls = (sni: string): object => ({
    transport_socket: {
      name: 'tls',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
        sni,
        common_tls_context: {
          validation_context: { trusted_ca: { filename: certificatePath('ca.pem') } },
          tls_certificates: [
            {
              certificate_chain: { filename: certificatePath('client.pem') },
              private_key: { filename: certificatePath('client.key') },
            },
          ],
        },
      },
    },
  })
  const attempt = async (server: string, sni: string): Promise<boolean> => {
    const plane = new ScriptedControlPlane()
    const { cert, key } = certificate(server)
    const pair = [{ cert_chain: cert, private_key: key }]
    const credentials = ServerCredentials.createSsl(readFileSync(certificatePath('ca.pem')), pair, true)
    const port = await plane.listen('127.0.0.1:0', credentials)
    const client = new ToyServer(bootstrap({ port }, 1, upstreamTls(sni)))
    client.start()
    let over = false
    const refused = async (): Promise<void> => {
      while (!over && client.stats.value('cluster_manager.cds.update_failure') === 0) await new Promise(setImmediate)
    }
    await Promise.race([plane.requests(1), refused()])
    over = true
    client.client.close()
    plane.close()
    return plane.take().length > 0
  }
  t.equal(await attempt('server', ''), true)
  t.equal(await attempt('server', 'lab.test'), true)
  t.equal(await attempt('other', 'lab.test'), false, 'another name')
  t.equal(await attempt('stranger', ''), false, 'another CA')
})

t.test('a Unix socket, and a response of 20 MiB', async t => {
  const plane = new ScriptedControlPlane()
  const pipe = join(shortDirectory(t), 'XDS')
  await plane.listen(`unix:${pipe}`)
  const server = new ToyServer(bootstrap({ pipe }, 1))
  t.teardown(() => {
    server.client.close()
    plane.close()
  })
  server.start()
  await plane.requests(1)
  plane.take()
  const filler = { envoy: { filter_metadata: { x: { text: 'y'.repeat(10_000) } } } }
  const many = Array.from({ length: 2000 }, (_, i) => ({
    ...edsCluster(`c${i}`),
    type: 'STATIC',
    eds_cluster_config: undefined,
    metadata: filler.envoy,
  }))
  plane.send(
    'CDS',
    'big',
    many.map(({ eds_cluster_config: _, ...cluster }) => cluster),
  )
  await plane.requests(2)
  t.match(plane.take(), [{ type: 'LDS' }, { type: 'CDS', version: 'big' }])
  t.equal(server.applied.length, 2000)
})

t.test('a control plane that is not there yet is found when it comes', async t => {
  const plane = new ScriptedControlPlane()
  const pipe = join(shortDirectory(t), 'XDS')
  const server = new ToyServer(bootstrap({ pipe }, 1))
  t.teardown(() => {
    server.client.close()
    plane.close()
  })
  server.start()
  while (server.stats.value('cluster_manager.cds.update_failure') === 0) await new Promise(setImmediate)
  t.equal(server.stats.value('control_plane.connected_state'), 0)
  await plane.listen(`unix:${pipe}`)
  await plane.requests(1)
  t.match(plane.take(), [{ type: 'CDS', version: '', node: 'test-node' }])
})

t.test('the control plane of the lab brings everything up', async t => {
  const acks: string[] = []
  let done: () => void = () => {}
  const finished = new Promise<void>(resolve => {
    done = resolve
  })
  const plane = new AdsServer(event => {
    if (event.kind !== 'ack' && event.kind !== 'nack') return
    acks.push(`${event.kind} ${event.type} ${event.reason}`)
    if (event.type === 'RouteConfiguration') done()
  })
  const shared = (
    [
      ['CDS', 'a', edsCluster('a')],
      ['EDS', 'a', assignment('a', 1)],
      ['LDS', 'one', listener('one', 1, ['r1'])],
      ['RDS', 'r1', routes('r1', 'a')],
    ] as const
  ).map(([type, name, json]) => ({
    typeUrl: `type.googleapis.com/${TYPES[type]}`,
    name,
    value: encode(TYPES[type]!, json),
  }))
  plane.publish({ shared, perNode: new Map() })
  const port = await plane.listen('127.0.0.1:0')
  const server = new ToyServer(bootstrap({ port }, 1))
  t.teardown(() => {
    server.client.close()
    plane.close()
  })
  server.start()
  await finished
  t.same(acks, ['ack Cluster ', 'ack ClusterLoadAssignment ', 'ack Listener ', 'ack RouteConfiguration '])
})
