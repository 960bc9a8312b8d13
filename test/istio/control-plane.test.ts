import { createServer } from 'node:http'
import t from 'tap'
import { DELTA } from '../../src/agent/xds-relay/protocol.ts'
import { decodeDeltaResponse } from '../../src/xds/delta-wire.ts'
import { pushBytes } from '../harness/istio-pushes.ts'
import { settled, until } from '../harness/until.ts'
import { replayed } from './control-plane.ts'
import { ECHO, startMesh } from './mesh.ts'
import { serviceAccountToken } from './tokens.ts'

const mesh = await startMesh({
  pods: ['sleep', 'echo', 'httpbin'],
  waitUntilReady: false,
  pushes: { sleep: 'default-sleep-sotw' },
  podEnv: { sleep: { ISTIO_DELTA_XDS: 'false' } },
  tokens: { httpbin: `${serviceAccountToken('httpbin').slice(0, -4)}AAAA` },
})
const [sleep, echo, httpbin] = [mesh.pod('sleep'), mesh.pod('echo'), mesh.pod('httpbin')]
echo.serve(
  createServer((request, response) => response.end(request.headers['x-forwarded-client-cert'])),
  8080,
)

t.test('state of the world: the same pod runs on what istiod sends by the other protocol', async t => {
  await Promise.all([sleep.ready(), echo.ready()])
  t.ok(await sleep.says(/\tinfo\txdsproxy\tconnected to upstream XDS server: 10\.77\.0\.1:15012/))
  t.ok(await echo.says(/\tinfo\txdsproxy\tconnected to delta upstream XDS server: 10\.77\.0\.1:15012/))
  const answer = await sleep.ask(ECHO, 80, '/', { headers: { host: 'echo.demo' } })
  t.match(answer, { status: 200, body: /URI=spiffe:\/\/cluster\.local\/ns\/demo\/sa\/sleep$/ })
  for (const pod of ['sleep', 'echo']) {
    // Each once: a stream that broke on a busy machine was opened again.
    const types = (which: (one: (typeof mesh.plane.asked)[number]) => boolean): string[] =>
      [...new Set(mesh.plane.asked.filter(one => one.pod === pod && which(one)).map(one => one.type))].toSorted()
    t.same(
      types(({ nonce }) => nonce === ''),
      ['CDS', 'EDS', 'LDS', 'NDS', 'RDS'],
      pod,
    )
    const acknowledged = (): string[] => types(({ nonce, error }) => nonce !== '' && error === null)
    t.same(await settled(acknowledged, of => of.length >= 5), ['CDS', 'EDS', 'LDS', 'NDS', 'RDS'], pod)
  }
  t.same(mesh.plane.rejected, [])
})

t.test('a token that the cluster did not sign: no certificate, no configuration, not ready, tried again', async t => {
  const asked = async (): Promise<number> => (await httpbin.agent('/healthz/ready')).status
  t.equal(await settled(asked, status => status !== 0), 503)
  await httpbin.says(/failed to warm certificate: .*Unauthenticated.*request authenticate failure/)
  await httpbin.says(/upstream terminated with unexpected error .*Unauthenticated.*authentication failure/)
  t.notOk(mesh.plane.clients.includes('spiffe://cluster.local/ns/demo/sa/httpbin'))
  httpbin.write('var/run/secrets/tokens/istio-token', serviceAccountToken('httpbin'))
  await until(async () => mesh.plane.clients.includes('spiffe://cluster.local/ns/demo/sa/httpbin'))
  await httpbin.ready()
})

t.test('what is sent is what was recorded, but one listener: that is without Lua, and with a key of ours', async t => {
  for (const push of ['default-sleep', 'default-gw', 'default-httpbin'] as const) {
    for (const type of ['CDS', 'EDS', 'LDS', 'RDS', 'NDS'] as const) {
      const [sent, recorded] = [replayed(push, type, DELTA), pushBytes(push, type)].map(decodeDeltaResponse)
      const changed = recorded!.resources.filter(({ body }, i) => {
        const other = sent!.resources[i]!.body!
        return other.typeUrl !== body!.typeUrl || Buffer.compare(other.bytes, body!.bytes) !== 0
      })
      t.same(
        changed.map(({ name }) => name),
        push === 'default-httpbin' && type === 'LDS' ? ['virtualInbound'] : [],
        `${push} ${type}`,
      )
    }
  }
})
