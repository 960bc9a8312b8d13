import t from 'tap'
import type { CodecStream } from '../../../src/codec/codec.ts'
import { HeaderBlock } from '../../../src/codec/header-block.ts'
import { CloseReason, type Connection, Flow } from '../../../src/io/connection.ts'
import type { WorkerHost } from '../../../src/upstream/host.ts'
import { HostCell, type HttpPoolUser, PoolFailure, Resource } from '../../../src/upstream/upstream.ts'
import { endpoint, staticCluster } from './fakes.ts'
import { anyRequest, TestWorld } from './world.ts'

class User implements HttpPoolUser {
  log: string[] = []
  stream: CodecStream | null = null
  autoSend = true
  failure: PoolFailure | null = null
  transport = ''

  onPoolReady(stream: CodecStream): void {
    this.stream = stream
    this.log.push('ready')
    if (!this.autoSend) return
    const h = new HeaderBlock()
    h.method = 'GET'
    h.path = '/'
    h.authority = 'a'
    stream.encodeHeaders(h, true)
  }

  onPoolFailure(failure: PoolFailure, _host: unknown, transport: string): void {
    this.failure = failure
    this.transport = transport
    this.log.push('failure')
  }

  onResponseHeaders(h: HeaderBlock, end: boolean): void {
    this.log.push(`${h.status}${end ? ' end' : ''}`)
  }

  onResponseData(chunk: Uint8Array, end: boolean): Flow {
    this.log.push(`data ${chunk.length}${end ? ' end' : ''}`)
    return Flow.Continue
  }

  onResponseTrailers(): void {}
  onUpstreamReset(why: number): void {
    this.log.push(`reset ${why}`)
  }
  onUpstreamWritable(): void {}
}

function start(extra: Parameters<typeof staticCluster>[1] = {}) {
  const world = new TestWorld(staticCluster([endpoint('10.0.0.1', 80)], extra))
  const cluster = world.cluster
  const host = cluster.pick(anyRequest) as WorkerHost
  const ask = (): User => {
    const user = new User()
    cluster.httpPool(host, 0, 'HTTP/1.1', null).newStream(user)
    return user
  }
  return { world, cluster, host, ask, made: world.connector.made, stats: world.clusterStats }
}

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi'

t.test('a finished exchange leaves its connection for the next request, which finds it at once', async t => {
  const { ask, made, stats, host, world } = start()
  const a = ask()
  t.equal(made.length, 1)
  t.equal(stats('upstream_rq_pending_active'), 1)
  made[0]!.connect()
  t.match(made[0]!.written, /^GET \/ HTTP\/1\.1\r\nhost: a\r\n/)
  t.equal(stats('upstream_rq_pending_active'), 0)
  t.equal(stats('upstream_rq_active'), 1)
  t.equal(host.activeRequests(), 1)
  made[0]!.receive(OK)
  t.strictSame(a.log, ['ready', '200', 'data 2', 'data 0 end'])
  t.equal(stats('upstream_rq_active'), 0)
  t.equal(host.activeRequests(), 0)
  const b = ask()
  t.equal(made.length, 1)
  t.strictSame(b.log, ['ready'])
  made[0]!.receive(OK)
  t.equal(stats('upstream_rq_total'), 2)
  t.equal(stats('upstream_rq_pending_total'), 1)
  t.equal(stats('upstream_cx_total'), 1)
  t.equal(stats('upstream_cx_http1_total'), 1)
  t.equal(world.taken(Resource.Requests), 0)
  t.equal(world.taken(Resource.Connections), 1)
})

t.test('max_connection_pools: a pool without requests makes room for another, with its idle connections', async t => {
  const { world, cluster, host, made, stats } = start({
    connection_pool_per_downstream_connection: true,
    circuit_breakers: { thresholds: [{ max_connection_pools: 1 }] },
  })
  const askFor = (id: number): User => {
    const user = new User()
    cluster.httpPool(host, 0, 'HTTP/1.1', { id } as Connection).newStream(user)
    return user
  }
  const first = askFor(1)
  made[0]!.connect()
  t.equal(askFor(2).failure, PoolFailure.Overflow, 'the first client waits for its answer')
  t.equal(stats('upstream_cx_pool_overflow'), 1)
  made[0]!.receive(OK)
  t.equal(first.log.at(-1), 'data 0 end')
  const third = askFor(3)
  t.ok(made[0]!.closed)
  made[1]!.connect()
  t.strictSame(third.log, ['ready'])
  made[1]!.receive(OK)
  made[1]!.gone(CloseReason.Remote)
  t.equal(askFor(4).failure, null)
  t.equal(world.taken(Resource.ConnectionPools), 1)
})

t.test('the connection used last is used first', async t => {
  const { ask, made } = start()
  ask()
  ask()
  made[0]!.connect()
  made[1]!.connect()
  made[1]!.receive(OK)
  made[0]!.receive(OK)
  const before = made[0]!.written.length
  ask()
  t.ok(made[0]!.written.length > before)
})

t.test('a refused connection fails all that wait and counts as Envoy does', async t => {
  const { ask, made, stats, world } = start()
  const a = ask()
  const b = ask()
  made[0]!.refuse()
  t.equal(a.failure, PoolFailure.RemoteConnectionFailure)
  t.equal(a.transport, 'delayed connect error: Connection refused')
  t.equal(b.failure, PoolFailure.RemoteConnectionFailure)
  t.equal(stats('upstream_cx_connect_fail'), 1)
  t.equal(stats('upstream_rq_pending_failure_eject'), 2)
  t.equal(stats('upstream_rq_total'), 0)
  t.equal(stats('upstream_cx_destroy_remote'), 1)
  made[1]!.refuse()
  t.equal(stats('upstream_cx_active'), 0)
  t.equal(world.taken(Resource.Connections), 0)
  t.equal(world.taken(Resource.PendingRequests), 0)
})

t.test('a connect timeout is told apart', async t => {
  const { ask, made, stats } = start()
  const a = ask()
  made[0]!.gone(CloseReason.ConnectTimeout)
  t.equal(a.failure, PoolFailure.Timeout)
  t.equal(stats('upstream_cx_connect_timeout'), 1)
  t.equal(stats('upstream_cx_connect_fail'), 1)
  t.equal(stats('upstream_cx_destroy_local'), 1)
})

t.test('pending requests overflow at their limit; connections never do while the pool has none', async t => {
  const { ask, made, stats } = start({
    circuit_breakers: { thresholds: [{ max_connections: 1, max_pending_requests: 1, max_requests: 10 }] },
  })
  const a = ask()
  const b = ask()
  t.equal(b.failure, PoolFailure.PendingOverflow)
  t.equal(stats('upstream_rq_pending_overflow'), 1)
  made[0]!.connect()
  const c = ask()
  t.equal(made.length, 1)
  t.equal(stats('upstream_cx_overflow'), 1)
  t.strictSame(c.log, [])
  made[0]!.receive(OK)
  t.strictSame(a.log.at(-1), 'data 0 end')
  t.strictSame(c.log, ['ready'])
})

t.test('max_requests overflows when a stream would begin', async t => {
  const { ask, made, stats } = start({
    circuit_breakers: { thresholds: [{ max_requests: 1 }] },
  })
  ask()
  const b = ask()
  made[0]!.connect()
  made[1]!.connect()
  t.equal(b.failure, PoolFailure.Overflow)
  t.equal(stats('upstream_rq_active_overflow') + stats('upstream_rq_pending_overflow'), 1)
})

t.test('max_requests_per_connection closes after the last answer', async t => {
  const { ask, made, stats } = start({ max_requests_per_connection: 1 })
  ask()
  made[0]!.connect()
  t.equal(stats('upstream_cx_max_requests'), 1)
  made[0]!.receive(OK)
  t.equal(made[0]!.closed, true)
  t.equal(stats('upstream_cx_destroy_local'), 1)
  t.equal(stats('upstream_cx_destroy_with_active_rq'), 0)
})

t.test('an answer with connection: close ends the connection and is counted', async t => {
  const { ask, made, stats } = start()
  ask()
  made[0]!.connect()
  made[0]!.receive('HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
  t.equal(made[0]!.closed, true)
  t.equal(stats('upstream_cx_close_notify'), 1)
})

t.test('the idle timeout runs only while no request does', async t => {
  const { ask, made, stats, world } = start({ common_http_protocol_options: { idle_timeout: 5000 } })
  ask()
  made[0]!.connect()
  world.timers.advance(60000)
  t.equal(made[0]!.closed, false)
  made[0]!.receive(OK)
  world.timers.advance(4999)
  t.equal(made[0]!.closed, false)
  world.timers.advance(1)
  t.equal(made[0]!.closed, true)
  t.equal(stats('upstream_cx_idle_timeout'), 1)
})

t.test('max_connection_duration drains: the running exchange is finished first', async t => {
  const { ask, made, stats, world } = start({ common_http_protocol_options: { max_connection_duration: 1000 } })
  const a = ask()
  made[0]!.connect()
  world.timers.advance(1000)
  t.equal(stats('upstream_cx_max_duration_reached'), 1)
  t.equal(made[0]!.closed, false)
  const b = ask()
  t.equal(made.length, 2)
  made[0]!.receive(OK)
  t.equal(a.log.at(-1), 'data 0 end')
  t.equal(made[0]!.closed, true)
  t.strictSame(b.log, [])
})

t.test('a connection that dies under a request resets it; the next one gets a new connection', async t => {
  const { ask, made, stats, world } = start()
  const a = ask()
  made[0]!.connect()
  made[0]!.gone(CloseReason.Remote)
  t.equal(a.log.at(-1), 'reset 6')
  t.equal(stats('upstream_cx_destroy_remote_with_active_rq'), 1)
  t.equal(world.taken(Resource.Requests), 0)
  ask()
  t.equal(made.length, 2)
})

t.test('a reset by the user gives up the connection and its counts', async t => {
  const { ask, made, stats, world, host } = start()
  const a = ask()
  made[0]!.connect()
  a.stream!.reset(0)
  t.equal(made[0]!.closed, true)
  t.equal(stats('upstream_cx_destroy_local_with_active_rq'), 1)
  t.equal(world.taken(Resource.Requests), 0)
  t.equal(host.activeRequests(), 0)
  t.equal(host.cells.load(HostCell.ActiveConnections), 0)
  t.equal(stats('upstream_rq_active'), 0)
})

t.test('a cancelled request leaves the queue', async t => {
  const { cluster, host, made, stats, world } = start()
  const user = new User()
  const handle = cluster.httpPool(host, 0, 'HTTP/1.1', null).newStream(user)
  handle!.cancel()
  t.equal(stats('upstream_rq_cancelled'), 1)
  made[0]!.connect()
  t.strictSame(user.log, [])
  t.equal(world.taken(Resource.PendingRequests), 0)
})

t.test('bytes nobody asked for close the connection as a protocol error', async t => {
  const { ask, made, stats } = start()
  ask()
  made[0]!.connect()
  made[0]!.receive(`${OK}HTTP/1.1 200 OK\r\n\r\n`)
  t.equal(made[0]!.closed, true)
  t.equal(stats('upstream_cx_protocol_error'), 1)
  t.equal(stats('upstream_rq_active'), 0)
})

t.test('a removed host closes idle connections and finishes the others', async t => {
  const { ask, made, world, cluster } = start()
  const a = ask()
  ask()
  made[0]!.connect()
  made[1]!.connect()
  made[1]!.receive(OK)
  world.publish([])
  t.equal(made[1]!.closed, true)
  t.equal(made[0]!.closed, false)
  made[0]!.receive(OK)
  t.equal(a.log.at(-1), 'data 0 end')
  t.equal(made[0]!.closed, true)
  t.equal(cluster.pick(anyRequest), null)
})

t.test('requests that wait at a removed host are still served', async t => {
  const { ask, made, world } = start()
  const a = ask()
  world.publish([])
  made[0]!.connect()
  made[0]!.receive(OK)
  t.equal(a.log.at(-1), 'data 0 end')
  t.equal(made[0]!.closed, true)
  t.equal(made.length, 1)
})
