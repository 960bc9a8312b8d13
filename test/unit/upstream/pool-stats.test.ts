import t from 'tap'
import type { CodecStream } from '../../../src/codec/codec.ts'
import { HeaderBlock } from '../../../src/codec/header-block.ts'
import { CloseReason, Flow } from '../../../src/io/connection.ts'
import type { HttpPoolUser } from '../../../src/upstream/upstream.ts'
import { endpoint, type FakeConnection, staticCluster } from './fakes.ts'
import { anyRequest, TestWorld } from './world.ts'

class User implements HttpPoolUser {
  stream: CodecStream | null = null
  onPoolReady(stream: CodecStream): void {
    this.stream = stream
    const h = new HeaderBlock()
    h.method = 'GET'
    h.path = '/'
    h.authority = 'a'
    stream.encodeHeaders(h, true)
  }
  onPoolFailure(): void {}
  onResponseHeaders(): void {}
  onResponseData(): Flow {
    return Flow.Continue
  }
  onResponseTrailers(): void {}
  onUpstreamReset(): void {}
  onUpstreamWritable(): void {}
}

interface Scene {
  readonly world: TestWorld
  readonly made: FakeConnection[]
  readonly users: User[]
  ask(): void
}

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi'
const local = { cx_destroy: 1, cx_destroy_local: 1 }
const remote = { cx_destroy: 1, cx_destroy_remote: 1 }
const one = { cx_http1_total: 1, cx_total: 1, rq_pending_total: 1 }
const sent = { ...one, rq_total: 1 }
const localActive = { ...local, cx_destroy_local_with_active_rq: 1, cx_destroy_with_active_rq: 1 }
const remoteActive = { ...remote, cx_destroy_remote_with_active_rq: 1, cx_destroy_with_active_rq: 1 }

/** Counters of `cluster.X.upstream_*` the real Envoy 1.40 showed after the same events; those not named were 0. */
const scenes: [string, object, (s: Scene) => void, Record<string, number>][] = [
  ['an exchange', {}, s => s.made[0]!.receive(OK), { ...sent, cx_active: 1 }],
  [
    'connection: close',
    {},
    s => s.made[0]!.receive('HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n'),
    { ...sent, ...local, cx_close_notify: 1 },
  ],
  [
    'a second answer nobody asked for',
    {},
    s => s.made[0]!.receive(`${OK}HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n`),
    { ...sent, ...local, cx_protocol_error: 1 },
  ],
  ['the peer closes without an answer', {}, s => s.made[0]!.receive('', true), { ...sent, ...remoteActive }],
  [
    'the peer closes within a body',
    {},
    s => {
      s.made[0]!.receive('HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nhi')
      s.made[0]!.receive('', true)
    },
    { ...sent, ...remoteActive, cx_protocol_error: 1 },
  ],
  ['no HTTP', {}, s => s.made[0]!.receive('nonsense\r\n\r\n'), { ...sent, ...localActive, cx_protocol_error: 1 }],
  ['a request given up', {}, s => s.users[0]!.stream!.reset(0), { ...sent, ...localActive }],
  [
    'max_requests_per_connection',
    { max_requests_per_connection: 1 },
    s => s.made[0]!.receive(OK),
    { ...sent, ...local, cx_max_requests: 1 },
  ],
  [
    'idle_timeout',
    { common_http_protocol_options: { idle_timeout: 200 } },
    s => {
      s.made[0]!.receive(OK)
      s.world.timers.advance(200)
    },
    { ...sent, ...local, cx_idle_timeout: 1 },
  ],
  [
    'max_connection_duration',
    { common_http_protocol_options: { max_connection_duration: 200 } },
    s => {
      s.made[0]!.receive(OK)
      s.world.timers.advance(200)
    },
    { ...sent, ...local, cx_max_duration_reached: 1 },
  ],
]

for (const [name, extra, act, expected] of scenes) {
  t.test(`${name}: counts as the real Envoy`, async t => {
    const s = start(extra)
    s.ask()
    s.made[0]!.connect()
    act(s)
    t.same(counters(s.world), expected)
  })
}

t.test('refused, and timed out while connecting', async t => {
  const a = start({})
  a.ask()
  a.made[0]!.refuse()
  t.same(counters(a.world), { ...one, ...remote, cx_connect_fail: 1, rq_pending_failure_eject: 1 })
  const b = start({})
  b.ask()
  b.made[0]!.gone(CloseReason.ConnectTimeout)
  t.same(counters(b.world), {
    ...one,
    ...local,
    cx_connect_fail: 1,
    cx_connect_timeout: 1,
    rq_pending_failure_eject: 1,
  })
})

t.test('max_pending_requests: three requests over one connection', async t => {
  const s = start({ circuit_breakers: { thresholds: [{ max_connections: 1, max_pending_requests: 1 }] } })
  s.ask()
  s.made[0]!.connect()
  s.ask()
  s.ask()
  s.made[0]!.receive(OK)
  s.made[0]!.receive(OK)
  t.same(counters(s.world), {
    cx_active: 1,
    cx_http1_total: 1,
    cx_overflow: 1,
    cx_total: 1,
    rq_pending_overflow: 1,
    rq_pending_total: 2,
    rq_total: 2,
  })
})

t.test('max_requests: the second finds it full when its connection is there, the third at once', async t => {
  const s = start({ circuit_breakers: { thresholds: [{ max_requests: 1 }] } })
  s.ask()
  s.made[0]!.connect()
  s.ask()
  s.made[1]!.connect()
  s.ask()
  s.made[0]!.receive(OK)
  t.same(counters(s.world), {
    cx_active: 2,
    cx_http1_total: 2,
    cx_total: 2,
    rq_active_overflow: 2,
    rq_pending_total: 2,
    rq_total: 1,
  })
})

function start(extra: object): Scene {
  const world = new TestWorld(staticCluster([endpoint('10.0.0.1', 80)], extra))
  const host = world.cluster.pick(anyRequest)!
  const users: User[] = []
  const ask = () => {
    const user = new User()
    users.push(user)
    world.cluster.httpPool(host, 0, 'HTTP/1.1', null).newStream(user)
  }
  return { world, made: world.connector.made, users, ask }
}

/** Without histograms and byte counts, as the recording left them out. */
function counters(world: TestWorld): Record<string, number> {
  const out: Record<string, number> = {}
  for (const [name, value] of Object.entries(world.stats.nonZero())) {
    const short = name.replace('cluster.c.upstream_', '')
    if (!/bytes|_ms$|per_cx/.test(short)) out[short] = value
  }
  return out
}
