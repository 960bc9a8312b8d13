import { createServer } from 'node:http'
import t from 'tap'
import { until } from '../harness/until.ts'
import { HTTPBIN, OUTSIDE, startMesh } from './mesh.ts'
import { accessLine } from './observed.ts'

/** What HTTP/1.1 messages may look like, through both sidecars. */
const mesh = await startMesh({ pods: ['sleep', 'httpbin'] })
const [sleep, httpbin] = [mesh.pod('sleep'), mesh.pod('httpbin')]
const HEADERS = { host: 'httpbin.demo:8000', 'x-pin': 'v1' }
const HEAD = 'host: httpbin.demo:8000\r\nx-pin: v1\r\n'
let aborted = 0
const app = createServer((request, response) => {
  switch (request.url) {
    case '/empty':
      return response.writeHead(204).end()
    case '/not-modified':
      return response.writeHead(304, { etag: '"a"' }).end()
    case '/head':
      return response.writeHead(200, { 'content-length': '1234' }).end()
    case '/endless':
      request.on('close', () => aborted++)
      return response.write('the beginning ')
    case '/cut':
      response.write('half')
      return setImmediate(() => response.socket!.destroy())
    case '/large':
      return response.end(String(request.headers['x-large']?.length))
    case '/early':
      return response.writeHead(103, {}).end()
    default:
      return request.pipe(response)
  }
})
app.on('checkContinue', (request, response) => {
  response.writeContinue()
  request.pipe(response)
})
httpbin.serve(app, 8080)

/** Everything that comes until the server closes, or until the text is there. */
function raw(text: string, end: string | null = null): Promise<string> {
  return new Promise(resolve => {
    const socket = sleep.connect(HTTPBIN, 8000)
    let got = ''
    socket.on('data', chunk => {
      got += chunk.toString('latin1')
      if (end !== null && got.includes(end)) socket.destroy()
    })
    socket.on('close', () => resolve(got))
    socket.write(text, 'latin1')
  })
}

t.test('answers without a body', async t => {
  t.match(await sleep.ask(HTTPBIN, 8000, '/empty', { headers: HEADERS }), { status: 204, body: '' })
  t.match(await sleep.ask(HTTPBIN, 8000, '/not-modified', { headers: HEADERS }), {
    status: 304,
    headers: { etag: '"a"' },
  })
  const head = await sleep.ask(HTTPBIN, 8000, '/head', { method: 'HEAD', headers: HEADERS })
  t.match(head, { status: 200, body: '', headers: { 'content-length': '1234' } })
})

t.test('Expect: 100-continue reaches the application, its answer the client', async t => {
  const got = await raw(
    `POST /continue HTTP/1.1\r\n${HEAD}expect: 100-continue\r\ncontent-length: 4\r\n\r\nbody`,
    'body',
  )
  t.match(got, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n/)
})

t.test('several requests at once on one connection are answered in order', async t => {
  const one = (body: string) => `POST /order HTTP/1.1\r\n${HEAD}content-length: ${body.length}\r\n\r\n${body}`
  const got = await raw(one('first') + one('second') + one('third'), 'third')
  t.same(got.match(/first|second|third/g), ['first', 'second', 'third'])
})

t.test('a chunked body, sent bit by bit, comes back bit by bit', async t => {
  const socket = sleep.connect(HTTPBIN, 8000)
  let got = ''
  socket.on('data', chunk => (got += chunk.toString()))
  socket.write(`POST /chunks HTTP/1.1\r\n${HEAD}transfer-encoding: chunked\r\n\r\n`)
  for (const part of ['one', 'two', 'three']) {
    socket.write(`${part.length}\r\n${part}\r\n`)
    await until(async () => got.includes(part))
  }
  socket.write('0\r\n\r\n')
  await until(async () => got.endsWith('0\r\n\r\n'))
  socket.destroy()
  t.match(got, /\r\ntransfer-encoding: chunked\r\n/i)
})

t.test('a header of 15 kB; one of 70 kB is too much', async t => {
  const answer = await sleep.ask(HTTPBIN, 8000, '/large', { headers: { ...HEADERS, 'x-large': 'x'.repeat(15_000) } })
  t.match(answer, { status: 200, body: '15000' })
  const refused = await sleep.ask(HTTPBIN, 8000, '/large', { headers: { ...HEADERS, 'x-large': 'x'.repeat(70_000) } })
  t.equal(refused.status, 431)
})

t.test('HTTP/1.0 is no protocol that the push has a chain for: its bytes go where they were meant to', async t => {
  mesh.outside.serve(
    createServer((request, response) => response.end(`version ${request.httpVersion}`)),
    8000,
  )
  const socket = sleep.connect(OUTSIDE, 8000)
  let got = ''
  socket.on('data', chunk => (got += chunk.toString()))
  const closed = new Promise(resolve => socket.on('close', resolve))
  socket.write(`GET / HTTP/1.0\r\n${HEAD}\r\n`)
  await closed
  t.match(got, /version 1\.0$/)
  t.notMatch(got, 'x-envoy')
})

t.test('a client that goes away ends the request at the application', async t => {
  const socket = sleep.connect(HTTPBIN, 8000)
  let got = ''
  socket.on('data', chunk => (got += chunk.toString()))
  socket.write(`GET /endless HTTP/1.1\r\n${HEAD}\r\n`)
  await until(async () => got.includes('the beginning'))
  socket.destroy()
  await until(async () => aborted === 1)
  t.match(await accessLine(sleep, /GET \/endless /), '" 200 DC downstream_remote_disconnect ')
  t.match(await accessLine(httpbin, /GET \/endless /), '" 200 DC downstream_remote_disconnect ')
})

t.test('an answer that is cut short is cut short for the client', async t => {
  const got = await raw(`GET /cut HTTP/1.1\r\n${HEAD}\r\n`)
  t.match(got, /half/)
  t.notMatch(got, /\r\n0\r\n\r\n$/)
  t.match(await accessLine(httpbin, /GET \/cut /), '" 200 UPE upstream_reset_after_response_started{protocol_error} ')
  t.match(await accessLine(sleep, /GET \/cut /), '" 200 UPE upstream_reset_after_response_started{protocol_error} ')
})

t.test('nothing of the pushes was refused', async t => t.same(mesh.plane.rejected, []))
