import dgram from 'node:dgram'
import { once } from 'node:events'
import t from 'tap'
import { ipAddress } from '../../../src/io/address.ts'
import { datagramSocket } from '../../../src/io/datagram-socket.ts'
import { libc } from '../../../src/io/libc.ts'

for (const [name, c] of [
  ['through libc', libc()],
  ['through node:dgram', null],
] as const) {
  t.test(`${name}: a datagram is what the buffer held when it was sent`, async t => {
    const collector = dgram.createSocket('udp4').bind(0, '127.0.0.1')
    await once(collector, 'listening')
    t.teardown(() => collector.close())
    const seen: string[] = []
    const both = new Promise<void>(done => {
      collector.on('message', text => {
        seen.push(text.toString())
        if (seen.length === 2) done()
      })
    })
    const socket = datagramSocket(ipAddress('127.0.0.1', collector.address().port), c)!
    const buffer = Buffer.from('first!')
    socket.send(buffer, 5)
    buffer.write('second')
    socket.send(buffer, 6)
    await both
    t.strictSame(seen.sort(), ['first', 'second'])
  })
}
