import t, { type Test } from 'tap'
import { HeaderBlock } from '../../../../src/codec/header-block.ts'
import { Http1ClientCodec } from '../../../../src/codec/http1/client.ts'
import { defaultHttp1Options } from '../../../../src/codec/http1/options.ts'
import { Http1ServerCodec } from '../../../../src/codec/http1/server.ts'
import { EventRecorder } from './event-recorder.ts'
import { FakeConnection } from './fake-connection.ts'
import { type Case, readCases } from './prose-fixtures.ts'

const options = { ...defaultHttp1Options, enableTrailers: true }

function serve(pieces: readonly Buffer[]): string {
  const recorder = new EventRecorder()
  const codec = new Http1ServerCodec(new FakeConnection(), recorder, options)
  recorder.codec = codec
  for (const piece of pieces) codec.dispatch(Buffer.from(piece), false)
  return recorder.text()
}

function receive(pieces: readonly Buffer[], method: string, eof: boolean): string {
  const recorder = new EventRecorder()
  const codec = new Http1ClientCodec(new FakeConnection(), recorder, options)
  const request = new HeaderBlock()
  request.method = method
  request.path = '/'
  codec.newStream(null)!.encodeHeaders(request, true)
  for (const piece of pieces) codec.dispatch(Buffer.from(piece), false)
  if (eof) codec.dispatch(Buffer.alloc(0), true)
  return recorder.text()
}

function everySplit(t: Test, one: Case, run: (pieces: Buffer[]) => string): void {
  t.equal(run([one.input]), one.events, 'whole')
  t.equal(run([...one.input].map(byte => Buffer.from([byte]))), one.events, 'byte by byte')
  for (let at = 1; at < one.input.length; at++) {
    const got = run([one.input.subarray(0, at), one.input.subarray(at)])
    if (got !== one.events) t.equal(got, one.events, `split at ${at}`)
  }
}

for (const one of readCases('requests.md')) {
  t.test(`request: ${one.name}`, t => {
    everySplit(t, one, serve)
    t.end()
  })
}

for (const one of readCases('responses.md')) {
  t.test(`response: ${one.name}`, t => {
    everySplit(t, one, pieces => receive(pieces, one.method, one.eof))
    t.end()
  })
}
