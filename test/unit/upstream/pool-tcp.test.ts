import t from 'tap'
import { CloseReason, type Connection, type ConnectionHandler } from '../../../src/io/connection.ts'
import { StreamInfo } from '../../../src/telemetry/stream-info.ts'
import { HostCell, PoolFailure, Resource, type TcpPoolUser } from '../../../src/upstream/upstream.ts'
import { endpoint, staticCluster } from './fakes.ts'
import { anyRequest, TestWorld } from './world.ts'

class User implements TcpPoolUser, ConnectionHandler {
  connection: Connection | null = null
  failure: PoolFailure | null = null
  transport = ''
  readonly log: string[] = []
  onTcpReady(c: Connection): void {
    this.connection = c
    c.handler = this
  }
  onTcpFailure(failure: PoolFailure, _host: unknown, transport: string): void {
    this.failure = failure
    this.transport = transport
  }
  onData(_c: Connection, chunk: Uint8Array): void {
    this.log.push(`data ${chunk.length}`)
  }
  onClose(_c: Connection, why: CloseReason): void {
    this.log.push(`close ${why}`)
  }
}

function start(extra: object = {}) {
  const world = new TestWorld(staticCluster([endpoint('10.0.0.1', 80)], extra))
  const host = world.cluster.pick(anyRequest)!
  const ask = () => {
    const user = new User()
    const handle = world.cluster.tcpConnect(host, user, new StreamInfo(), null)
    return { user, handle }
  }
  return { world, host, ask, made: world.connector.made, stats: world.clusterStats }
}

t.test('events reach the handler its user set, and the pool keeps the accounts', async t => {
  const { world, ask, made, stats } = start()
  const { user } = ask()
  t.equal(stats('upstream_rq_pending_total'), 1)
  made[0]!.connect()
  made[0]!.receive('hello')
  t.equal(stats('upstream_rq_active'), 1)
  made[0]!.gone(CloseReason.Remote)
  t.same(user.log, ['data 5', 'close 0'])
  // What the real Envoy shows for a TCP proxy whose upstream closes.
  for (const name of ['cx_total', 'cx_destroy', 'cx_destroy_remote', 'cx_destroy_remote_with_active_rq', 'rq_total']) {
    t.equal(stats(`upstream_${name}`), 1, name)
  }
  t.equal(stats('upstream_cx_rx_bytes_total'), 5)
  t.equal(stats('upstream_cx_active') + stats('upstream_rq_active') + stats('upstream_rq_pending_active'), 0)
  t.equal(world.taken(Resource.Connections) + world.taken(Resource.Requests) + world.taken(Resource.PendingRequests), 0)
})

t.test('a refused connection', async t => {
  const { ask, made, stats, host } = start()
  const { user } = ask()
  made[0]!.refuse()
  t.equal(user.failure, PoolFailure.RemoteConnectionFailure)
  t.equal(user.transport, 'delayed connect error: Connection refused')
  t.equal(stats('upstream_cx_connect_fail'), 1)
  t.equal(stats('upstream_rq_pending_failure_eject'), 1)
  t.equal((host as unknown as { cells: { load(i: number): number } }).cells.load(HostCell.ActiveConnections), 0)
})

t.test('a cancelled attempt closes its connection and tells nobody', async t => {
  const { world, ask, made } = start()
  const { user, handle } = ask()
  handle!.cancel()
  t.equal(made[0]!.closed, true)
  t.equal(user.failure, null)
  t.equal(world.taken(Resource.PendingRequests) + world.taken(Resource.Connections), 0)
})

t.test('connections are limited', async t => {
  const { ask, made, stats } = start({ circuit_breakers: { thresholds: [{ max_connections: 1 }] } })
  ask()
  const { user, handle } = ask()
  t.equal(handle, null)
  t.equal(user.failure, PoolFailure.Overflow)
  t.equal(made.length, 1)
  t.equal(stats('upstream_cx_overflow'), 1)
})

t.test('close_connections_on_host_health_failure takes TCP connections along', async t => {
  const { world, ask, made } = start({ close_connections_on_host_health_failure: true })
  const { user } = ask()
  made[0]!.connect()
  world.setHealth('10.0.0.1:80', 1)
  world.manager.onHealthChange('c')
  t.equal(made[0]!.closed, true)
  t.same(user.log, ['close 2'])
})
