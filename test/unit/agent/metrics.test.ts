import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { AgentMetrics } from '../../../src/agent/metrics.ts'
import { acceptedFormats, joinPages, pageFormat } from '../../../src/agent/metrics-format.ts'
import { scrapeTargets } from '../../../src/agent/scrape-targets.ts'

const OPEN = 'application/openmetrics-text; version=1.0.0; charset=utf-8'
const TEXT = 'text/plain; version=0.0.4; charset=utf-8'

async function serve(t: Test, handle: RequestListener): Promise<number> {
  const server = createServer(handle)
  t.teardown(() => server.close())
  await new Promise<void>(resolve => server.listen(0, 'localhost', resolve))
  return (server.address() as AddressInfo).port
}

t.test('targets of ISTIO_PROMETHEUS_ANNOTATIONS: several come before the one, with defaults', async t => {
  const targets = (value: object): unknown => scrapeTargets(JSON.stringify(value), 15020)
  t.same(scrapeTargets(undefined, 15020), [])
  t.same(targets({ scrape: 'false', port: '80' }), [])
  t.same(targets({ scrape: 'true' }), [{ port: 80, path: '/metrics' }])
  t.same(targets({ port: '8080', path: '/m' }), [{ port: 8080, path: '/m' }])
  t.same(targets({ port: '1', targets: [{ port: '81', path: '/a' }, { port: '82' }] }), [
    { port: 81, path: '/a' },
    { port: 82, path: '/metrics' },
  ])
})

t.test('targets that cannot be the application are refused with the reason', async t => {
  const refuse = (value: object, why: RegExp): void => {
    t.throws(() => scrapeTargets(JSON.stringify(value), 15020), { message: why })
  }
  refuse({ port: '15020' }, /target port 15020 is the agent's own/)
  refuse({ targets: [{ port: '80' }, { port: '015090' }] }, /015090 is reserved for Istio \(Envoy Prometheus/)
  refuse({ targets: [{ path: '/x' }] }, /invalid target port ""/)
  refuse({ port: '65536' }, /invalid target port "65536"/)
  t.throws(() => scrapeTargets('{', 15020), { message: /is not JSON/ })
})

t.test('the application is asked for text only, in the order of the scraper', async t => {
  const prometheus =
    'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,' +
    'application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1'
  t.equal(
    acceptedFormats(prometheus),
    'application/openmetrics-text; q=0.2; version=1.0.0,text/plain; q=0.1; version=0.0.4',
  )
  t.equal(acceptedFormats('application/*'), 'application/openmetrics-text; q=0.1; version=0.0.1')
  for (const none of [undefined, '', 'image/png', 'text/plain;=x']) {
    t.equal(acceptedFormats(none), 'text/plain;version=0.0.4', String(none))
  }
})

t.test('the page is declared as one of the formats that Prometheus knows', async t => {
  t.equal(pageFormat(OPEN), OPEN)
  t.equal(pageFormat('application/openmetrics-text'), 'application/openmetrics-text; version=0.0.1; charset=utf-8')
  t.equal(pageFormat('application/openmetrics-text; version=2.0.0'), TEXT)
  t.equal(pageFormat('text/html'), TEXT)
  t.equal(pageFormat(undefined), TEXT)
})

t.test('of several OpenMetrics pages only the last has an end', async t => {
  const pages = [Buffer.from('a 1\n# EOF\n'), Buffer.from('b 2'), Buffer.from('# EOF \r\n')]
  const joined = joinPages(pages, [OPEN, OPEN, OPEN])
  t.equal(joined.format, OPEN)
  t.equal(Buffer.concat(joined.pages).toString(), 'a 1\nb 2\n# EOF\n')
  const mixed = joinPages(pages, [OPEN, TEXT, OPEN])
  t.equal(mixed.format, TEXT, 'formats that differ are text')
  t.equal(Buffer.concat(mixed.pages).toString(), 'a 1\nb 2\n')
})

t.test('agent, proxy and several targets on one page; a target that fails is left out and counted', async t => {
  const accepts: unknown[] = []
  const proxyPort = await serve(t, (request, response) => response.end(`proxy{q="${request.url}"} 1\n`))
  const one = await serve(t, (request, response) => {
    accepts.push(request.headers.accept)
    response.setHeader('content-type', OPEN).end('one 1\n# EOF\n')
  })
  const two = await serve(t, (_, response) => response.setHeader('content-type', OPEN).end('two 2\n# EOF'))
  const large = await serve(t, (_, response) => response.end(Buffer.alloc((10 << 20) + 1, 35)))
  const broken = await serve(t, (_, response) => response.writeHead(500).end('no'))
  const target = (port: number): { port: number; path: string } => ({ port, path: '/metrics' })
  const metrics = new AgentMetrics()
  const applications = [broken, one, large, two].map(target)
  const page = await metrics.page({ proxyPort, applications }, 'a=b', { accept: OPEN })
  t.equal(page.type, OPEN)
  const body = page.body.toString()
  t.match(body, /istio_agent_scrapes_total 1\n[\s\S]*\nproxy\{q="\/stats\/prometheus\?a=b"\} 1\none 1\ntwo 2\n# EOF\n$/)
  t.notMatch(body, '#####')
  t.same(accepts, ['application/openmetrics-text; charset=utf-8; q=0.1; version=1.0.0'])
  const again = await metrics.page({ proxyPort, applications: [target(two)] }, '', {})
  t.equal(again.type, OPEN, 'one target decides the format, whatever was asked for')
  t.match(again.body.toString(), 'istio_agent_scrape_failures_total{type="application"} 2')
  t.match(again.body.toString(), /two 2\n# EOF$/)
})

t.test("any timeout of the scraper's will do", async t => {
  const proxyPort = await serve(t, (_, response) => response.end('proxy 1\n'))
  const metrics = new AgentMetrics()
  // 2.01 s is 2009.9999999999998 ms.
  for (const seconds of ['2.01', '1e300']) {
    const headers = { 'x-prometheus-scrape-timeout-seconds': seconds }
    const page = await metrics.page({ proxyPort, applications: [] }, '', headers)
    t.match(page.body.toString(), /\nproxy 1\n$/, seconds)
  }
})
