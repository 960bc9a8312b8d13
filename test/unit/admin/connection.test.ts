import t from 'tap'
import { AdminConnection, type AdminHost } from '../../../src/admin/connection.ts'
import { AdminCounters } from '../../../src/admin/counters.ts'
import type { AdminRequest, AdminResponse } from '../../../src/admin/handler.ts'
import { CloseHow, CloseReason } from '../../../src/io/connection.ts'
import { StatsStore } from '../../../src/stats/store.ts'
import type { AccessLogger, FormatContext } from '../../../src/telemetry/format-context.ts'
import { VirtualClock, VirtualTimers } from '../base/virtual-clock.ts'
import { FakeConnection } from '../codec/http1/fake-connection.ts'

class Host implements AdminHost {
  readonly clock = new VirtualClock(1000)
  readonly timers = new VirtualTimers(this.clock)
  readonly store = new StatsStore()
  readonly counters = new AdminCounters(this.store)
  readonly logged: FormatContext[] = []
  readonly accessLogs: readonly AccessLogger[] = [{ log: context => void this.logged.push(context) }]
  readonly localAddress = '192.0.2.7'
  readonly requests: AdminRequest[] = []
  response: AdminResponse = { status: 200, body: 'OK\n' }
  left = 0

  async answer(request: AdminRequest): Promise<AdminResponse> {
    this.requests.push(request)
    return this.response
  }

  gone(): void {
    this.left++
  }
}

function opened() {
  const host = new Host()
  const connection = new FakeConnection()
  const client = new AdminConnection(host)
  client.begin(connection)
  const send = async (text: string, end = false): Promise<void> => {
    client.onData(connection, Buffer.from(text, 'latin1'), end)
    await new Promise(resolve => setImmediate(resolve))
  }
  return { host, connection, client, send }
}

const HEAD = 'Host: x\r\n\r\n'

t.test('an answer has the headers of the real Envoy, in its order, and is chunked', async t => {
  const { connection, send } = opened()
  await send(`GET /ready HTTP/1.1\r\n${HEAD}`)
  t.equal(
    connection.written.replace(/date: .*\r/, 'date: d\r'),
    'HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=UTF-8\r\ncache-control: no-cache, max-age=0\r\n' +
      'x-content-type-options: nosniff\r\ndate: d\r\nserver: envoy\r\ntransfer-encoding: chunked\r\n\r\n3\r\nOK\n\r\n0\r\n\r\n',
  )
})

t.test('headers of a handler stand first; connection: close stands before transfer-encoding and closes', async t => {
  const { host, connection, send } = opened()
  host.response = { status: 400, headers: [['x-content-type-options', 'nosniff']], contentType: 'text/plain', body: '' }
  await send(`GET /config_dump HTTP/1.1\r\nConnection: close\r\n${HEAD}`)
  const names = connection.written
    .split('\r\n\r\n')[0]!
    .split('\r\n')
    .slice(1)
    .map(line => line.split(':')[0])
  t.same(names, [
    'x-content-type-options',
    'content-type',
    'cache-control',
    'x-content-type-options',
    'date',
    'server',
    'connection',
    'transfer-encoding',
  ])
  t.ok(connection.closed)
})

t.test('HEAD gets no content (RFC 9110 §9.3.2)', async t => {
  const { connection, send } = opened()
  await send(`HEAD /ready HTTP/1.1\r\n${HEAD}`)
  t.match(connection.written, /\r\n\r\n$/)
  t.notMatch(connection.written, 'OK\n')
})

t.test('path, query and form reach the handler; slashes are merged', async t => {
  const { host, send } = opened()
  await send(`POST //runtime_modify?a=%41&a=2&b HTTP/1.1\r\nContent-Length: 3\r\n${HEAD}c=d`)
  const [request] = host.requests
  t.equal(request?.path, '/runtime_modify')
  t.same(
    [...(request?.query ?? [])],
    [
      ['a', 'A'],
      ['b', ''],
    ],
  )
  t.equal(request?.body, 'c=d')
})

t.test('a body is bounded', async t => {
  const { host, connection, send } = opened()
  await send(`POST /runtime_modify HTTP/1.1\r\nContent-Length: 3000000\r\n${HEAD}`)
  for (let i = 0; i < 3; i++) await send('x'.repeat(500_000))
  t.match(connection.written, /^HTTP\/1\.1 413 Payload Too Large\r\n/)
  t.same(host.requests, [])
  t.equal(host.store.value('http.admin.downstream_rq_too_large'), 1)
})

t.test('a request that does not get finished is cut off after a minute', async t => {
  const { host, connection, send } = opened()
  await send('GET /ready HTTP/1.1\r\n')
  host.timers.pass(59_000)
  t.notOk(connection.closed)
  host.timers.pass(2_000)
  t.equal(connection.closedHow, CloseHow.NoFlush)
  t.equal(host.store.value('http.admin.downstream_rq_header_timeout'), 1)
})

t.test('a client between requests may stay an hour', async t => {
  const { host, connection, send } = opened()
  await send(`GET /ready HTTP/1.1\r\n${HEAD}`)
  host.timers.pass(3_500_000)
  t.notOk(connection.closed)
  host.timers.pass(200_000)
  t.ok(connection.closed)
  t.equal(host.store.value('http.admin.downstream_cx_idle_timeout'), 1)
})

t.test('an answer is logged and counted, one that nobody waits for too', async t => {
  const { host, client, connection, send } = opened()
  await send(`GET /ready HTTP/1.1\r\n${HEAD}`)
  const [line] = host.logged
  t.equal(line?.info.responseCode, 200)
  t.equal(line?.info.bytesSent, 3)
  t.equal(line?.requestHeaders?.get('x-forwarded-for'), '192.0.2.7')
  t.equal(host.store.value('http.admin.downstream_rq_2xx'), 1)
  t.equal(host.store.value('listener.admin.http.admin.downstream_rq_completed'), 1)
  client.onData(connection, Buffer.from(`GET /slow HTTP/1.1\r\n${HEAD}`), false)
  client.onClose(connection, CloseReason.Remote)
  t.equal(host.logged.length, 2)
  t.equal(host.logged[1]?.info.responseCode, 0)
  t.equal(host.store.value('http.admin.downstream_rq_active'), 0)
  t.equal(host.store.value('http.admin.downstream_cx_destroy_remote'), 1)
  t.equal(host.store.value('listener.admin.downstream_cx_active'), 0)
  t.equal(host.left, 1)
})

t.test('HTTP/1.0, a missing host and garbage are refused without the headers of a handler', async t => {
  for (const [bytes, status] of [
    [`GET /ready HTTP/1.0\r\n${HEAD}`, '426 Upgrade Required'],
    ['GET /ready HTTP/1.1\r\n\r\n', '400 Bad Request'],
    [`FOO /ready HTTP/1.1\r\n${HEAD}`, '400 Bad Request'],
    ['\u0016\u0003\u0001 not http\r\n\r\n', '400 Bad Request'],
  ] as const) {
    const { connection, host, send } = opened()
    await send(bytes)
    t.equal(connection.written.split('\r\n')[0], `HTTP/1.1 ${status}`)
    t.notMatch(connection.written, 'nosniff')
    t.ok(connection.closed)
    t.same(host.requests, [])
  }
})
