import t from 'tap'
import { until } from '../harness/until.ts'
import { startMesh } from './mesh.ts'

const mesh = await startMesh({
  pods: ['sleep', 'echo'],
  waitUntilReady: false,
  prepare: ({ plane }) => {
    for (const type of ['CDS', 'EDS', 'LDS', 'RDS', 'NDS'] as const) plane.hold(type)
  },
})
const [sleep, echo] = [mesh.pod('sleep'), mesh.pod('echo')]

/** Each probe that fails says why. */
async function notReady(reason: RegExp): Promise<void> {
  let never = true
  await until(async () => {
    never &&= (await sleep.agent('/healthz/ready')).status !== 200
    return !never || new RegExp(`\\twarn\\tEnvoy proxy is NOT ready: ${reason.source}`).test(sleep.output)
  })
  if (!never) throw new Error(`ready, although ${reason.source}`)
}

t.test("503 for as long as something is missing, in the words of Istio's agent; then 200", async t => {
  await notReady(
    /config not received from XDS server \(is Istiod running\?\): cds updates: 0 successful, 0 rejected; lds updates: 0 successful, 0 rejected/,
  )
  mesh.plane.release('CDS')
  mesh.plane.release('EDS')
  await notReady(
    /config not fully received from XDS server: cds updates: 1 successful, 0 rejected; lds updates: 0 successful, 0 rejected/,
  )
  mesh.plane.release('LDS')
  await notReady(/server is not live, current state is: (PRE_)?INITIALIZING/)
  mesh.plane.release('RDS')
  await notReady(/istio DNS capture is turned ON and DNS lookup table is not ready yet/)
  t.notMatch(sleep.output, '\tinfo\tEnvoy proxy is ready')
  mesh.plane.release('NDS')
  await sleep.ready()
  t.ok(await sleep.says(/\tinfo\tReadiness succeeded in \d/))
  t.ok(await sleep.says(/\tinfo\tEnvoy proxy is ready/))
})

t.test('the kubelet asks 15021 and 15020 from outside; both follow', async t => {
  await echo.ready()
  for (const port of [15021, 15020]) t.equal((await mesh.outside.ask(echo.address, port, '/healthz/ready')).status, 200)
  t.equal((await mesh.outside.ask(echo.address, 15021, '/other')).status, 404)
})

t.test('once ready, a pod stays ready while istiod is away, and asks for everything again', async t => {
  const [streams, requests] = [mesh.plane.clients.length, mesh.plane.asked.length]
  mesh.plane.dropStreams()
  const answers = new Set<number>()
  const both = (asked: readonly { readonly pod: string; readonly type: string }[]): boolean =>
    ['sleep', 'echo'].every(pod => asked.some(one => one.pod === pod && one.type === 'LDS'))
  await until(async () => {
    answers.add((await sleep.agent('/healthz/ready')).status)
    return mesh.plane.clients.length >= streams + 2 && both(mesh.plane.asked.slice(requests))
  })
  t.same([...answers], [200])
  t.same(mesh.plane.rejected, [])
})
