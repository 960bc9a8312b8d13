import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { DELTA } from '../../../src/agent/xds-relay/protocol.ts'
import { grpcTransport } from '../../../src/xds/grpc-transport.ts'

const same = (bytes: Buffer): Buffer => bytes
const METHOD = {
  path: DELTA.method,
  requestStream: true,
  responseStream: true,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
} as const

async function ended(
  t: Test,
  end: (stream: ServerDuplexStream<Buffer, Buffer>) => void,
): Promise<{ status: number; details: string; messages: number }> {
  const server = new Server()
  t.teardown(() => server.forceShutdown())
  server.addService(
    { delta: METHOD },
    {
      delta: (stream: ServerDuplexStream<Buffer, Buffer>) => {
        stream.once('data', () => {
          stream.write(Buffer.from('answer'))
          end(stream)
        })
      },
    },
  )
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    )
  })
  const open = grpcTransport(
    {
      name: 'plane',
      statsName: '',
      connectionPerStream: false,
      addresses: [`127.0.0.1:${port}`],
      authority: '',
      tls: null,
      metadata: [],
      retryBase: 500,
      retryMax: 30_000,
      keepaliveInterval: 0,
      keepaliveTimeout: 0,
    },
    DELTA.method,
  )
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
  const end = (stream: ServerDuplexStream<Buffer, Buffer>) => stream.emit('error', { code: 16, details: 'who are you' })
  t.same(await ended(t, end), { status: 16, details: 'who are you', messages: 1 })
})
