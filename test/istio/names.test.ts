import { getServers } from 'node:dns'
import { createServer } from 'node:http'
import { isIPv4 } from 'node:net'
import dnsPacket, { type Packet } from 'dns-packet'
import t from 'tap'
import { startMesh } from './mesh.ts'
import type { Pod } from './pod.ts'

const mesh = await startMesh({ pods: ['sleep', 'echo'] })
const [sleep, echo] = [mesh.pod('sleep'), mesh.pod('echo')]
/** The rules send what is for this machine's resolver to the agent. */
const resolver = getServers().find(isIPv4)

async function lookUp(pod: Pod, name: string): Promise<Packet> {
  const question = dnsPacket.encode({ type: 'query', id: 7, questions: [{ type: 'A', name }] })
  return dnsPacket.decode(await pod.datagram(resolver!, 53, question))
}

const skip = resolver === undefined ? 'this machine has no resolver at an IPv4 address' : false

t.test('names of services are answered by the agent from the table that istiod pushed', { skip }, async t => {
  for (const name of ['echo.demo.svc.cluster.local', 'echo.demo.svc', 'echo.demo', 'echo']) {
    t.match((await lookUp(sleep, name)).answers, [{ name, type: 'A', data: '10.96.1.1', ttl: 30 }], name)
  }
  t.match((await lookUp(sleep, 'httpbin.demo.svc.cluster.local')).answers, [{ data: '10.96.0.20' }])
  t.match((await lookUp(sleep, 'headless.demo')).answers, [{ data: '10.77.0.40' }])
})

t.test('and lead to the service', { skip }, async t => {
  echo.serve(
    createServer((_, response) => response.end('hello')),
    8080,
  )
  const answer = (await lookUp(sleep, 'echo')).answers![0] as unknown as { data: string }
  t.match(await sleep.ask(answer.data, 80, '/', { headers: { host: 'echo' } }), { status: 200, body: 'hello' })
})
