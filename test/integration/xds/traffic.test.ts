import { Server, ServerCredentials } from '@grpc/grpc-js'
import t from 'tap'
import { DELTA } from '../../../src/agent/xds-relay/protocol.ts'
import { StatsStore } from '../../../src/stats/store.ts'
import type { XdsStream } from '../../../src/xds/ads-stream.ts'
import { ControlPlaneTraffic, type HostTraffic } from '../../../src/xds/control-plane-traffic.ts'
import { grpcTransport } from '../../../src/xds/grpc-transport.ts'
import { settled, until } from '../../harness/until.ts'
import { bytePlane, target } from './byte-plane.ts'

function client(address: string, connectionPerStream: boolean) {
  const store = new StatsStore()
  const traffic = new ControlPlaneTraffic(store.scope('cluster.plane.'))
  const open = grpcTransport(target(address, { statsName: 'plane', connectionPerStream }), DELTA.method, traffic)
  const stream = (): { stream: XdsStream; over: Promise<number>; answered: () => boolean } => {
    const over = Promise.withResolvers<number>()
    let answered = false
    const handler = {
      onMessage: () => {
        answered = true
      },
      onClosed: (status: number) => over.resolve(status),
    }
    const stream = open(handler)
    stream.send(Buffer.from('request'))
    return { stream, over: over.promise, answered: () => answered }
  }
  /** What is not zero, without `upstream_`; histograms are not numbers. */
  const counts = (): Record<string, number> => {
    const { counters, gauges } = store.snapshot()
    const used = [...counters, ...gauges].filter(({ value, name }) => value !== 0 && !name.includes('.internal.'))
    return Object.fromEntries(used.map(({ name, value }) => [name.replace('cluster.plane.upstream_', ''), value]))
  }
  const host = (): HostTraffic => ({ ...traffic.find(address)! })
  return { stream, counts, host }
}

const OPEN = { cx_active: 1, cx_http2_total: 1, cx_total: 1, cx_rx_bytes_total: 11, cx_tx_bytes_total: 12 }
const ANSWERED = { rq_200: 1, rq_2xx: 1, rq_completed: 1, rq_pending_total: 1, rq_total: 1 }

t.test('a stream that stays is a connection and a request that are active', async t => {
  const { stream, counts, host } = client(await bytePlane(t, () => {}), true)
  const one = stream()
  await until(async () => one.answered())
  t.same(counts(), { ...OPEN, ...ANSWERED, rq_active: 1, cx_max_requests: 1 })
  t.match(host(), { cxActive: 1, cxTotal: 1, rqActive: 1, rqTotal: 1, rqSuccess: 0, rqError: 0 })
  one.stream.close()
  const { cx_active, rq_active, ...rest } = counts()
  t.same([cx_active, rq_active], [undefined, undefined])
  t.match(rest, { cx_destroy: 1, cx_destroy_local: 1, rq_tx_reset: 1 })
})

t.test('max_requests_per_connection 1: each stream has a connection, which goes with it', async t => {
  const { stream, counts, host } = client(await bytePlane(t, call => call.end()), true)
  for (let i = 0; i < 2; i++) t.equal(await stream().over, 0)
  t.match(counts(), { cx_total: 2, cx_destroy: 2, cx_destroy_local: 2, cx_max_requests: 2, rq_total: 2, rq_200: 2 })
  t.equal(counts().cx_active, undefined)
  t.match(host(), { cxActive: 0, cxTotal: 2, rqActive: 0, rqTotal: 2, rqSuccess: 2 })
})

t.test('otherwise the next stream takes the connection that is there', async t => {
  const { stream, counts } = client(await bytePlane(t, call => call.emit('error', { code: 16, details: 'no' })), false)
  for (let i = 0; i < 2; i++) t.equal(await stream().over, 16)
  t.match(counts(), { cx_total: 1, cx_active: 1, rq_total: 2, rq_pending_total: 1, rq_completed: 2 })
  t.equal(counts().cx_max_requests, undefined)
})

t.test('a connection that cannot be had is a failure of the cluster and of the host', async t => {
  const server = new Server()
  const address = await new Promise<string>(resolve => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_, port) => resolve(`127.0.0.1:${port}`))
  })
  server.forceShutdown()
  const { stream, counts, host } = client(address, true)
  t.equal(await stream().over, 14)
  t.same(
    await settled(
      async () => counts(),
      seen => seen.cx_connect_fail === 1,
    ),
    {
      cx_connect_fail: 1,
      cx_destroy: 1,
      cx_destroy_remote: 1,
      cx_http2_total: 1,
      cx_total: 1,
      rq_503: 1,
      rq_5xx: 1,
      rq_completed: 1,
      rq_pending_failure_eject: 1,
      rq_pending_total: 1,
    },
  )
  t.match(host(), { cxConnectFail: 1, cxTotal: 1, cxActive: 0, rqError: 1, rqTotal: 0 })
})
