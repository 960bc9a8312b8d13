import t from 'tap'
import { ipAddress } from '../../../src/io/address.ts'
import { CloseReason } from '../../../src/io/connection.ts'
import { IPPROTO_TCP, SOL_SOCKET } from '../../../src/io/listen-socket.ts'
import { connect } from '../../../src/io/socket-connection.ts'
import { loopback, PLAIN_CONNECT, Recorder } from './loopback.ts'
import { socketOption } from './socket-option.ts'

/** As in tcp(7) and socket(7). */
function options(fd: number): { on: number; time: number; interval: number; probes: number } {
  return {
    on: socketOption(fd, SOL_SOCKET, 9),
    time: socketOption(fd, IPPROTO_TCP, 4),
    interval: socketOption(fd, IPPROTO_TCP, 5),
    probes: socketOption(fd, IPPROTO_TCP, 6),
  }
}

t.test('what is given of keep-alive is set, the rest stays as the system has it', async t => {
  const pair = await loopback()
  t.teardown(() => pair.close())
  const given = [
    [null, null, null],
    [3, null, null],
    [null, 7, null],
    [null, null, 5],
    [4, 9, 11],
  ] as const
  for (const [probes, time, interval] of given) {
    const { connection, handler } = pair.dial()
    await handler.until(() => handler.connected)
    const before = options(connection.fd)
    t.equal(before.on, 0)
    connection.setKeepAlive(probes, time, interval)
    t.same(options(connection.fd), {
      on: 1,
      time: time ?? before.time,
      interval: interval ?? before.interval,
      probes: probes ?? before.probes,
    })
  }
})

t.test('a connection that has no descriptor takes keep-alive, and fails in its own way', async t => {
  const pair = await loopback()
  t.teardown(() => pair.close())
  const handler = new Recorder()
  const connection = connect(pair.loop, ipAddress('no address', 80), PLAIN_CONNECT, handler)
  connection.setKeepAlive(1, 2, 3)
  await handler.until(() => handler.closed !== null)
  t.equal(handler.closed, CloseReason.ConnectFailed)
})
