import { createServer } from 'node:http'
import { connect } from 'node:net'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import t from 'tap'
import { AppProbes } from '../../../src/agent/app-probes.ts'
import { answerMalformed } from '../../../src/agent/go-http.ts'
import { configureLog } from '../../../src/agent/log.ts'
import { AgentMetrics } from '../../../src/agent/metrics.ts'
import { Readiness } from '../../../src/agent/readiness.ts'
import { StatusServer } from '../../../src/agent/status-server.ts'
import { allocatePort } from '../../harness/ports.ts'

configureLog({ write: () => {} })

const port = await allocatePort()
const status = new StatusServer({
  port,
  readiness: new Readiness(undefined),
  metrics: new AgentMetrics(),
  sources: { proxyPort: 0, applications: [] },
  probes: new AppProbes({ json: undefined, destination: '127.0.0.1', statusPort: port }),
  metricsFromLocalhostOnly: false,
  nameTable: () => null,
  onQuit: () => {},
  onDrain: () => {},
})
await status.listen()
t.teardown(() => status.close())

/** What comes back until the server closes. */
function raw(text: string, to = port): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const socket = connect(to, '127.0.0.1', () => socket.write(text))
    socket.on('data', chunk => void chunks.push(chunk as Buffer))
    socket.on('error', reject)
    socket.on('close', () => resolve(Buffer.concat(chunks)))
  })
}

async function ask(target: string, method = 'GET', headers = ''): Promise<{ head: string; body: Buffer }> {
  const answer = await raw(`${method} ${target} HTTP/1.1\r\nHost: x\r\n${headers}Connection: close\r\n\r\n`)
  const end = answer.indexOf('\r\n\r\n')
  return { head: answer.subarray(0, end).toString(), body: answer.subarray(end + 4) }
}

t.test('paths that are not clean, and trees without their slash, are redirected as by http.ServeMux', async t => {
  for (const [target, location] of [
    ['//healthz/ready', '/healthz/ready'],
    ['/healthz/../healthz/ready', '/healthz/ready'],
    ['/app-health', '/app-health/'],
    ['/a/./b?x=1&y', '/a/b?x=1&y'],
  ] as const) {
    const { head, body } = await ask(target)
    t.match(head, /^HTTP\/1.1 307 Temporary Redirect\r\n/)
    t.match(head, `\r\nLocation: ${location}\r\n`)
    t.equal(body.toString(), `<a href="${location.replace('&', '&#38;')}">Temporary Redirect</a>.\n\n`)
  }
  t.match(
    (await ask('/app-health', 'POST')).head,
    /^HTTP\/1.1 307 Temporary Redirect\r\nVary: Accept-Encoding\r\nLocation: /,
  )
})

t.test('absolute form is routed by its path; OPTIONS * is 200', async t => {
  t.match((await ask('http://other/healthz/ready')).head, /^HTTP\/1.1 200/)
  t.match((await ask('*', 'OPTIONS')).head, /^HTTP\/1.1 200/)
})

t.test("malformed requests are answered by Go's bodies", async t => {
  const bad =
    'HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request'
  t.equal((await raw('nonsense\r\n\r\n')).toString(), bad)
  const none = (await raw('GET / HTTP/1.1\r\n\r\n')).toString()
  t.match(none, /^HTTP\/1.1 400 Bad Request: missing required Host header\r\n/)
  t.match(none, /\r\n\r\n400 Bad Request: missing required Host header$/)
  t.match((await raw('GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n')).toString(), /^HTTP\/1.1 400 .*400 Bad Request$/s)
  t.match((await raw('GET /healthz/ready HTTP/1.0\r\n\r\n')).toString(), /^HTTP\/1.1 200/)
})

t.test('a request that does not come to its end is not called malformed', async t => {
  const server = createServer({ headersTimeout: 1, requestTimeout: 1, connectionsCheckingInterval: 10 })
  answerMalformed(server)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  t.match((await raw('GET / HTTP/1.1\r\n', port)).toString(), /^HTTP\/1.1 408 Request Timeout\r\n/)
})

t.test('no body is asked for that nobody reads', async t => {
  const { head } = await ask('/healthz/ready', 'POST', 'Expect: 100-continue\r\nContent-Length: 3\r\n')
  t.match(head, /^HTTP\/1.1 200/)
})

t.test('metrics are compressed as the client likes it, zstd rather than gzip', async t => {
  for (const [accepted, encoding] of [
    ['gzip', 'gzip'],
    ['gzip, zstd', 'zstd'],
    ['zstd;q=0.5, gzip', 'gzip'],
    ['gzip;q=0', ''],
    ['*', ''],
  ] as const) {
    const { head, body } = await ask('/metrics', 'GET', `Accept-Encoding: ${accepted}\r\n`)
    t.equal(/Content-Encoding: (.*)\r/.exec(`${head}\r`)?.[1] ?? '', encoding, accepted)
    const text = encoding === 'gzip' ? gunzipSync(body) : encoding === 'zstd' ? zstdDecompressSync(body) : body
    t.match(text.toString(), 'istio_agent_scrapes_total')
  }
})
