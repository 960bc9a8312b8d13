import {
  Client,
  type ClientReadableStream,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js'
import t from 'tap'
import { asTheyAre, bytesMethod } from '../harness/grpc-bytes.ts'
import { RunningProxy } from './proxy/running-proxy.ts'

// A client and a server of gRPC that know nothing of each other's proxy: what they see is what an application sees.

const service = {
  unary: bytesMethod('/lab.Echo/Unary', false, false),
  collect: bytesMethod('/lab.Echo/Collect', true, false),
  repeat: bytesMethod('/lab.Echo/Repeat', false, true),
  chat: bytesMethod('/lab.Echo/Chat', true, true),
  fail: bytesMethod('/lab.Echo/Fail', false, false),
  wait: bytesMethod('/lab.Echo/Wait', false, false),
}
const LIMIT = 8 * 1024 * 1024
const options = { 'grpc.max_receive_message_length': LIMIT, 'grpc.max_send_message_length': LIMIT }

const cancelled: (() => void)[] = []
const server = new Server(options)
server.addService(service, {
  unary(call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) {
    const trailers = new Metadata()
    trailers.set('x-trailer', 'end')
    const head = new Metadata()
    head.set('x-seen', String(call.metadata.get('x-asked')[0] ?? ''))
    call.sendMetadata(head)
    done(null, call.request, trailers)
  },
  collect(call: ServerReadableStream<Buffer, Buffer>, done: sendUnaryData<Buffer>) {
    const parts: Buffer[] = []
    call.on('data', (part: Buffer) => parts.push(part))
    call.on('end', () => done(null, Buffer.concat(parts)))
  },
  repeat(call: ServerWritableStream<Buffer, Buffer>) {
    for (let i = 0; i < 50; i++) call.write(Buffer.from(`${call.request.toString()}${i}`))
    call.end()
  },
  chat(call: ServerDuplexStream<Buffer, Buffer>) {
    call.on('data', (part: Buffer) => call.write(part))
    call.on('end', () => call.end())
    call.on('cancelled', () => cancelled.shift()?.())
  },
  fail(_call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) {
    done({ code: status.NOT_FOUND, details: 'no such thing: 100 % ünknown' })
  },
  wait(call: ServerUnaryCall<Buffer, Buffer>) {
    call.on('cancelled', () => cancelled.shift()?.())
  },
})

const upstream = await new Promise<number>((resolve, reject) =>
  server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
    error === null ? resolve(port) : reject(error),
  ),
)
const proxy = await RunningProxy.start({ upstream, http2Upstream: true })
const client = new Client(`127.0.0.1:${proxy.port}`, credentials.createInsecure(), options)

t.teardown(async () => {
  client.close()
  server.forceShutdown()
  await proxy.stop()
})

function unary(path: string, request: Buffer, deadline = 60_000): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const call = { deadline: Date.now() + deadline }
    client.makeUnaryRequest(path, asTheyAre, asTheyAre, request, new Metadata(), call, (error, value) =>
      error === null ? resolve(value!) : reject(error),
    )
  })
}

function messages(call: ClientReadableStream<Buffer>): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const out: string[] = []
    call.on('data', (part: Buffer) => out.push(part.toString()))
    call.on('error', reject)
    call.on('end', () => resolve(out))
  })
}

t.test('a unary call with metadata in head and trailers', async t => {
  const asked = new Metadata()
  asked.set('x-asked', 'yes')
  const seen = await new Promise<{ head: Metadata; trailers: Metadata; value: Buffer }>((resolve, reject) => {
    let head = new Metadata()
    let value: Buffer = Buffer.alloc(0)
    const call = client.makeUnaryRequest(
      '/lab.Echo/Unary',
      asTheyAre,
      asTheyAre,
      Buffer.from('hi'),
      asked,
      (error, answer) => {
        if (error !== null) reject(error)
        else value = answer!
      },
    )
    call.on('metadata', metadata => {
      head = metadata
    })
    call.on('status', end => resolve({ head, trailers: end.metadata, value }))
  })
  t.equal(seen.value.toString(), 'hi')
  t.same(seen.head.get('x-seen'), ['yes'])
  t.same(seen.trailers.get('x-trailer'), ['end'])
})

t.test('a client stream', async t => {
  const value = await new Promise<Buffer>((resolve, reject) => {
    const call = client.makeClientStreamRequest('/lab.Echo/Collect', asTheyAre, asTheyAre, (error, answer) =>
      error === null ? resolve(answer!) : reject(error),
    )
    for (let i = 0; i < 20; i++) call.write(Buffer.from(`${i},`))
    call.end()
  })
  t.equal(value.toString(), Array.from({ length: 20 }, (_, i) => `${i},`).join(''))
})

t.test('a server stream', async t => {
  const got = await messages(client.makeServerStreamRequest('/lab.Echo/Repeat', asTheyAre, asTheyAre, Buffer.from('n')))
  t.same(
    got,
    Array.from({ length: 50 }, (_, i) => `n${i}`),
  )
})

t.test('both directions at once, message by message', async t => {
  const call = client.makeBidiStreamRequest('/lab.Echo/Chat', asTheyAre, asTheyAre)
  const got: string[] = []
  await new Promise<void>((resolve, reject) => {
    call.on('error', reject)
    call.on('end', resolve)
    call.on('data', (part: Buffer) => {
      got.push(part.toString())
      // The next message only leaves when the last one came back: nothing may wait for more.
      if (got.length < 10) call.write(Buffer.from(String(got.length)))
      else call.end()
    })
    call.write(Buffer.from('0'))
  })
  t.same(got, ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
})

t.test('a status without a message (trailers only)', async t => {
  const error = (await unary('/lab.Echo/Fail', Buffer.from('x')).catch(e => e)) as ServiceError
  t.equal(error.code, status.NOT_FOUND)
  t.equal(error.details, 'no such thing: 100 % ünknown')
  const unknown = (await unary('/lab.Echo/Nothing', Buffer.from('x')).catch(e => e)) as ServiceError
  t.equal(unknown.code, status.UNIMPLEMENTED)
})

t.test('the deadline of the client ends the call, and the server hears of it', async t => {
  const heard = new Promise<void>(resolve => cancelled.push(resolve))
  // Long enough for the call to reach the server before it ends.
  const error = (await unary('/lab.Echo/Wait', Buffer.from('x'), 2000).catch(e => e)) as ServiceError
  t.equal(error.code, status.DEADLINE_EXCEEDED)
  await heard
})

t.test('a cancelled stream is cancelled at the server', async t => {
  const heard = new Promise<void>(resolve => cancelled.push(resolve))
  const call = client.makeBidiStreamRequest('/lab.Echo/Chat', asTheyAre, asTheyAre)
  const code = await new Promise<number>(resolve => {
    call.on('error', (error: ServiceError) => resolve(error.code))
    call.on('data', () => call.cancel())
    call.write(Buffer.from('x'))
  })
  t.equal(code, status.CANCELLED)
  await heard
})

t.test('big messages pass both ways, several at a time', async t => {
  const big = Buffer.alloc(3 * 1024 * 1024, 'abcdefghij')
  const answers = await Promise.all(Array.from({ length: 4 }, () => unary('/lab.Echo/Unary', big)))
  for (const answer of answers) t.ok(answer.equals(big))
})

t.test('an upstream that is gone is UNAVAILABLE', async t => {
  server.forceShutdown()
  const error = (await unary('/lab.Echo/Unary', Buffer.from('x')).catch(e => e)) as ServiceError
  t.equal(error.code, status.UNAVAILABLE)
  t.match(error.details, /upstream connect error/)
})
