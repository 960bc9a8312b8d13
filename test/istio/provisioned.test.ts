import { createServer } from 'node:http'
import t from 'tap'
import { ECHO, startMesh } from './mesh.ts'

/** As virtual machines join: istiod knows them by a certificate that was given to them, and asks for one. */
const mesh = await startMesh({
  pods: ['sleep', 'echo'],
  plane: { clientCertificates: true },
  env: { PROV_CERT: './etc/certs' },
  prepare: ({ authority, pod }) => {
    for (const name of ['sleep', 'echo'] as const) {
      const own = authority.identity({ uris: [`spiffe://cluster.local/ns/demo/sa/${name}`], ttlMs: 3_600_000 })
      pod(name).write('etc/certs/cert-chain.pem', own.chain)
      pod(name).write('etc/certs/key.pem', own.key)
      pod(name).write('etc/certs/root-cert.pem', authority.rootPem)
    }
  },
})

t.test('mutual TLS to istiod instead of tokens, for configuration and certificates', async t => {
  const [sleep, echo] = [mesh.pod('sleep'), mesh.pod('echo')]
  echo.serve(
    createServer((request, response) => response.end(request.headers['x-forwarded-client-cert'])),
    8080,
  )
  const answer = await sleep.ask(ECHO, 80, '/', { headers: { host: 'echo.demo' } })
  t.match(answer, { status: 200, body: /URI=spiffe:\/\/cluster\.local\/ns\/demo\/sa\/sleep$/ })
  const identities = ['spiffe://cluster.local/ns/demo/sa/echo', 'spiffe://cluster.local/ns/demo/sa/sleep']
  // What broke on a busy machine was tried again.
  t.same([...new Set(mesh.plane.clients)].toSorted(), identities)
  t.same(
    [...new Set(mesh.plane.ca.requests.map(request => request.peer))].toSorted(),
    identities.map(name => `URI:${name}`),
  )
})
