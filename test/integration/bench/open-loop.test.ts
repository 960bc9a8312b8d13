import { createServer } from 'node:http'
import { createServer as createHttp2, type Http2Server, type ServerHttp2Stream } from 'node:http2'
import { type AddressInfo, createServer as createTcp, type Server } from 'node:net'
import t from 'tap'
import { runOpenLoop } from '../../../bench/load/open-loop/command.ts'

t.setTimeout(280_000)

async function listen(server: Server | Http2Server): Promise<number> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', () => resolve()))
  return (server.address() as AddressInfo).port
}

const at = (port: number, ...more: string[]) => [
  '--url',
  `http://127.0.0.1:${port}/x`,
  '--warmup',
  '0.2',
  '--grace',
  '60',
  ...more,
]
const percentile = (result: Awaited<ReturnType<typeof runOpenLoop>>, wanted: number) =>
  result.latency.percentiles.find(entry => entry.percentile === wanted)!.micros

/** Blocks the whole server once, like a stop-the-world pause. */
function stallOnce(ms: number): () => void {
  let counted = 0
  return () => {
    if (++counted === 600) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
  }
}

// The server stalls in this process, the generator is another one.
t.test('a pause of the server of one second is seen in p99.9, although each connection saw it once only', async t => {
  const stall = stallOnce(1000)
  const server = createServer((_, response) => {
    stall()
    response.end('ok')
  })
  const port = await listen(server)
  const result = await runOpenLoop(at(port, '--rate', '500', '--connections', '4', '--seconds', '3'))
  server.closeAllConnections()
  server.close()
  t.equal(result.due, 1500)
  t.equal(result.answered, 1500)
  t.match(result.statuses, { 200: 1500 })
  // A closed loop of four connections would have four slow answers of 1500: its p99.9 would hardly see them, its p90 not.
  t.ok(percentile(result, 99.9) > 900_000, `p99.9 ${percentile(result, 99.9)} µs`)
  t.ok(percentile(result, 90) > 500_000, `p90 ${percentile(result, 90)} µs`)
  t.ok(result.queued > 300, `${result.queued} waited for a connection`)
})

t.test('the same over HTTP/2, where streams wait and not connections', async t => {
  const stall = stallOnce(1000)
  const server = createHttp2()
  server.on('stream', (stream: ServerHttp2Stream) => {
    stall()
    stream.respond({ ':status': 200 })
    stream.end('ok')
  })
  const port = await listen(server)
  const result = await runOpenLoop(at(port, '--rate', '500', '--connections', '2', '--seconds', '3', '--h2'))
  server.close()
  t.equal(result.protocol, 'h2')
  t.equal(result.answered, 1500)
  t.ok(percentile(result, 99.9) > 900_000, `p99.9 ${percentile(result, 99.9)} µs`)
})

t.test('several requests in turn over HTTP/2, as many as are answered', async t => {
  const seen = new Map<string, number>()
  const server = createHttp2()
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    let body = ''
    stream.on('data', chunk => {
      body += chunk
    })
    stream.on('end', () => {
      const key = `${headers[':method']} ${headers[':path']} ${headers[':authority']} ${headers['x-a']} ${body}`
      seen.set(key, (seen.get(key) ?? 0) + 1)
      stream.respond({ ':status': 200 })
      stream.end('ok')
    })
  })
  const port = await listen(server)
  const folder = t.testdir({
    'requests.json': JSON.stringify([
      { method: 'GET', host: 'a.test', path: '/1' },
      { method: 'POST', host: 'b.test', path: '/2', headers: { 'X-A': '1' }, body: 'hello' },
    ]),
  })
  const load = ['--rate', 'most', '--seconds', '0.5', '--h2', '--connections', '2', '--streams', '4']
  const result = await runOpenLoop(at(port, ...load, '--requests', `${folder}/requests.json`))
  server.close()
  t.same([...seen.keys()].sort(), ['GET /1 a.test undefined ', 'POST /2 b.test 1 hello'])
  const [first = 0, second = 0] = seen.values()
  t.ok(Math.abs(first - second) <= 1, `${first} and ${second}: in turn`)
  t.ok(result.answered > 0 && result.answered === result.due, `${result.answered} of ${result.due}`)
  t.equal(
    Object.values(result.errors).reduce((sum, count) => sum + count),
    0,
  )
})

t.test('without spinning everything is sent all the same', async t => {
  const server = createServer((_, response) => response.end('ok'))
  const port = await listen(server)
  const result = await runOpenLoop(at(port, '--rate', '2000', '--seconds', '0.5', '--pacing', 'wake'))
  server.closeAllConnections()
  server.close()
  t.equal(result.due, 1000)
  t.equal(result.answered, 1000)
  t.equal(result.lateness.count + result.queued, 1000)
})

t.test('bodies and headers arrive, over HTTP/1.1 and HTTP/2', async t => {
  const seen: string[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', chunk => {
      body += chunk
    })
    request.on('end', () => {
      seen.push(`${request.method} ${request.url} ${request.headers.host} ${request.headers['x-a']} ${body}`)
      response.statusCode = 503
      response.end('no')
    })
  })
  const port = await listen(server)
  const more = [
    '--rate',
    '50',
    '--seconds',
    '0.4',
    '--header',
    'x-a: 1',
    '--header',
    'host: lab.test',
    '--body',
    'hello',
  ]
  const result = await runOpenLoop(at(port, ...more))
  server.closeAllConnections()
  server.close()
  t.equal(result.errors.status, 20)
  t.same([...new Set(seen)], ['POST /x lab.test 1 hello'])

  const seen2: string[] = []
  const server2 = createHttp2()
  server2.on('stream', (stream: ServerHttp2Stream, headers) => {
    let body = ''
    stream.on('data', chunk => {
      body += chunk
    })
    stream.on('end', () => {
      seen2.push(`${headers[':method']} ${headers[':path']} ${headers[':authority']} ${headers['x-a']} ${body}`)
      stream.respond({ ':status': 200 }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '14' }))
      stream.end('x')
    })
  })
  const port2 = await listen(server2)
  const result2 = await runOpenLoop(at(port2, ...more, '--h2', '--connections', '2'))
  server2.close()
  t.equal(result2.answered, 20)
  t.equal(result2.errors.status, 20, 'a gRPC status other than 0 is an error')
  t.same([...new Set(seen2)], ['POST /x lab.test 1 hello'])
})

t.test('connections that the server closes are replaced, what was on them is counted', async t => {
  let served = 0
  const server = createTcp(socket => {
    socket.on('error', () => {})
    socket.on('data', () => {
      served++
      if (served % 10 === 0) socket.destroy()
      else if (served % 7 === 0) socket.end('HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
      else socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
    })
  })
  const port = await listen(server)
  const result = await runOpenLoop(at(port, '--rate', '200', '--connections', '4', '--seconds', '1'))
  server.close()
  t.equal(result.sent, 200)
  t.equal(result.errors.closed + result.errors.reset, 20)
  t.equal(result.answered, 180)
})

t.test('a server that never answers: everything is an error, nothing disappears', async t => {
  const sockets = new Set<{ destroy(): void }>()
  const server = createTcp(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
  })
  const port = await listen(server)
  const result = await runOpenLoop(
    at(port, '--rate', '100', '--connections', '2', '--seconds', '0.5', '--grace', '0.3'),
  )
  for (const socket of sockets) socket.destroy()
  server.close()
  t.equal(result.answered, 0)
  t.equal(result.errors.timeout + result.errors.unsent, 50)
  t.equal(result.latency.count, 50)
  t.ok(result.latency.max >= 750_000)
})

t.test('nobody there: an error that says so', async t => {
  const server = createTcp()
  const port = await listen(server)
  await new Promise(resolve => server.close(resolve))
  await t.rejects(runOpenLoop(at(port, '--rate', '1')), { message: /no connection to 127\.0\.0\.1:\d+: ECONNREFUSED/ })
})
