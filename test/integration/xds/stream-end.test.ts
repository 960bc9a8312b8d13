import t, { type Test } from 'tap'
import { DELTA } from '../../../src/agent/xds-relay/protocol.ts'
import { grpcTransport } from '../../../src/xds/grpc-transport.ts'
import { type ByteStream, bytePlane, target } from './byte-plane.ts'

async function ended(
  t: Test,
  end: (stream: ByteStream) => void,
): Promise<{ status: number; details: string; messages: number }> {
  const open = grpcTransport(target(await bytePlane(t, end)), DELTA.method)
  return await new Promise(resolve => {
    let messages = 0
    const stream = open({
      onMessage: () => messages++,
      onClosed: (status, details) => resolve({ status, details, messages }),
    })
    stream.send(Buffer.from('request'))
  })
}

t.test('a stream that the control plane ends in order is over: the next one can be opened', async t => {
  t.same(await ended(t, stream => stream.end()), { status: 0, details: 'OK', messages: 1 })
})

t.test('a stream that it ends with an error is over with its status', async t => {
  const end = (stream: ByteStream) => stream.emit('error', { code: 16, details: 'who are you' })
  t.same(await ended(t, end), { status: 16, details: 'who are you', messages: 1 })
})
