import { readFileSync } from 'node:fs'
import t from 'tap'
import { HeaderBlock } from '../../../../src/codec/header-block.ts'
import { Http2ClientCodec } from '../../../../src/codec/http2/client.ts'
import type { Http2Connection } from '../../../../src/codec/http2/connection.ts'
import { defaultHttp2Options, type Http2Options } from '../../../../src/codec/http2/options.ts'
import { Http2ServerCodec } from '../../../../src/codec/http2/server.ts'
import { FakeConnection, FakeTimers, Recorder } from './fakes.ts'
import { assemble, describeFrames } from './frame-text.ts'

/*
 * Fixtures in prose: sections of the files under test/fixtures/http2. A section is
 *   # what the rule is
 *   options {…}            (optional JSON)
 *   frames, one per line
 *   -- then the expected events, and `> ` frames that the codec writes (acknowledgements and the preface left out)
 */
interface Fixture {
  name: string
  options: Partial<Http2Options>
  input: Buffer
  expected: string[]
}

function read(file: string): Fixture[] {
  const text = readFileSync(new URL(`../../../fixtures/http2/${file}`, import.meta.url), 'utf8')
  return text
    .split(/^# /m)
    .slice(1)
    .map(section => {
      const lines = section.split('\n').map(line => line.trim())
      const name = lines.shift()!
      let options: Partial<Http2Options> = {}
      if (lines[0]!.startsWith('options ')) options = JSON.parse(lines.shift()!.slice(8)) as Partial<Http2Options>
      const divider = lines.indexOf('--')
      const input = assemble(
        lines.slice(0, divider).filter(line => line !== ''),
        file.startsWith('server'),
      )
      return { name, options, input, expected: lines.slice(divider + 1).filter(line => line !== '') }
    })
}

function play(fixture: Fixture, client: boolean, pieces: Buffer[]): string[] {
  const connection = new FakeConnection()
  const recorder = new Recorder()
  const options = { ...defaultHttp2Options, ...fixture.options }
  let codec: Http2Connection
  if (client) {
    const up = new Http2ClientCodec(connection.asConnection(), recorder, options, new FakeTimers())
    codec = up
    for (const path of ['/1', '/3']) {
      const head = new HeaderBlock()
      head.method = 'GET'
      head.path = path
      head.scheme = 'http'
      head.authority = 'a'
      up.newStream(null)!.encodeHeaders(head, true)
    }
    recorder.take()
  } else codec = new Http2ServerCodec(connection.asConnection(), recorder, options, new FakeTimers())
  connection.take()
  for (const piece of pieces) codec.dispatch(piece, false)
  return [...recorder.take(), ...describeFrames(connection.take()).map(line => `> ${line}`)]
}

for (const file of ['server.txt', 'client.txt']) {
  for (const fixture of read(file)) {
    t.test(`${file}: ${fixture.name}`, async t => {
      const client = file.startsWith('client')
      const { input } = fixture
      t.same(play(fixture, client, [input]), fixture.expected, 'in one piece')
      const bytes = Array.from(input, (_, i) => input.subarray(i, i + 1))
      t.same(play(fixture, client, bytes), fixture.expected, 'byte by byte')
      for (let at = 1; at < input.length; at++) {
        const events = play(fixture, client, [input.subarray(0, at), input.subarray(at)])
        if (JSON.stringify(events) !== JSON.stringify(fixture.expected)) {
          t.same(events, fixture.expected, `split at ${at}`)
          return
        }
      }
    })
  }
}
