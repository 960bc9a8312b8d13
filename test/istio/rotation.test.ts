import { createServer } from 'node:http'
import t from 'tap'
import { until } from '../harness/until.ts'
import { HTTPBIN, startMesh } from './mesh.ts'
import type { Reply } from './pod.ts'

const TTL_S = 20
/** Certificates are renewed after three of their twenty seconds, which leaves a busy machine the rest. */
const mesh = await startMesh({
  pods: ['sleep', 'httpbin'],
  plane: { certificateTtlMs: TTL_S * 1000 },
  env: { SECRET_GRACE_PERIOD_RATIO: '0.85' },
})
const [sleep, httpbin] = [mesh.pod('sleep'), mesh.pod('httpbin')]
const HEADERS = { host: 'httpbin.demo:8000', 'x-pin': 'v1' }
const ROUNDS = process.env['REMORA_LONG'] === undefined ? 2 : 10
httpbin.serve(
  createServer((request, response) => response.end(request.headers['x-forwarded-client-cert'])),
  8080,
)

/** The client's certificate as the server's sidecar saw it. */
function fingerprint(reply: Reply): string {
  return /Hash=([0-9a-f]{64})/.exec(reply.body)?.[1] ?? ''
}

t.test('certificates are renewed and istiod restarted under load; no request fails, connections live on', async t => {
  const connection = sleep.keepAlive(HTTPBIN, 8000)
  t.teardown(() => connection.destroy())
  const failed: Reply[] = []
  const seen = new Set<string>()
  const { ca } = mesh.plane
  // The pushed limit of requests per connection (1,000) brings new handshakes.
  const enough = ca.requests.length + 2 * ROUNDS
  let sent = 0
  const restarts = setInterval(() => mesh.plane.dropStreams(), 1000)
  const load = async (): Promise<void> => {
    while (ca.requests.length < enough || seen.size < 2) {
      const fresh = await sleep.ask(HTTPBIN, 8000, '/', { headers: { ...HEADERS, connection: 'close' } })
      const kept = await sleep.ask(HTTPBIN, 8000, '/', { headers: HEADERS, agent: connection })
      sent += 2
      for (const reply of [fresh, kept]) {
        if (reply.status !== 200) failed.push(reply)
        seen.add(fingerprint(reply))
      }
    }
  }
  await Promise.all([load(), load()])
  clearInterval(restarts)
  t.ok(mesh.plane.clients.length > 2, `${mesh.plane.clients.length} streams of configuration`)
  t.same(failed, [], `of ${sent}`)
  t.ok(seen.size >= 2, `${seen.size} certificates in ${sent} requests`)
  t.equal(new Set(ca.requests.map(request => request.publicKey)).size, ca.requests.length, 'a new key each time')
  const expiry = /istio_agent_cert_expiry_seconds\{resource_name="default"\} (\S+)/
  t.ok(Number(expiry.exec((await sleep.agent('/metrics')).body)?.[1]) <= TTL_S)
})

t.test('a renewed certificate is in /certs of the proxy', async t => {
  const serial = async (): Promise<string> => {
    const { certificates } = JSON.parse((await httpbin.admin('/certs')).body) as {
      certificates: { cert_chain: { serial_number: string }[] }[]
    }
    return certificates.flatMap(({ cert_chain }) => cert_chain)[0]?.serial_number ?? ''
  }
  const before = await serial()
  t.not(before, '')
  let after = before
  await until(async () => {
    after = await serial()
    return after !== before
  })
  t.match(after, /^[0-9a-f]{32}$/)
})
