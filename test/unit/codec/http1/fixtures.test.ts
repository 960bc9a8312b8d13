import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { type CodecStream, ResetReason, type StreamDecoder } from '../../../../src/codec/codec.ts'
import { HeaderBlock } from '../../../../src/codec/header-block.ts'
import { Http1ClientCodec } from '../../../../src/codec/http1/client.ts'
import { defaultHttp1Options } from '../../../../src/codec/http1/options.ts'
import { Http1ServerCodec } from '../../../../src/codec/http1/server.ts'
import { Flow } from '../../../../src/io/connection.ts'
import { FakeConnection } from './fake-connection.ts'

interface Case {
  readonly name: string
  readonly input: Buffer
  readonly method: string
  readonly eof: boolean
  readonly events: string
}

function readCases(file: string): Case[] {
  const text = readFileSync(new URL(`../../../fixtures/http1/${file}`, import.meta.url), 'latin1')
  const cases: Case[] = []
  for (const section of text.split(/^## /m).slice(1)) {
    const name = section.slice(0, section.indexOf('\n'))
    const input = /```input([^\n]*)\n([\s\S]*?)\n```/.exec(section)!
    const events = /```events\n([\s\S]*?)\n```/.exec(section)!
    const bytes = input[2]!
      .replaceAll('\n', '')
      .replace(/\\r|\\n|\\t|\\x([0-9a-f]{2})/g, (written, hex?: string) =>
        hex !== undefined
          ? String.fromCharCode(Number.parseInt(hex, 16))
          : written === '\\r'
            ? '\r'
            : written === '\\n'
              ? '\n'
              : '\t',
      )
    // `\n` written out in the fixture is the LF; line breaks of the block were dropped above.
    cases.push({
      name,
      input: Buffer.from(bytes, 'latin1'),
      method: /request=(\w+)/.exec(input[1]!)?.[1] ?? 'GET',
      eof: input[1]!.includes('eof'),
      events: events[1]!
        .split('\n')
        .map(line => line.trimEnd())
        .join('\n'),
    })
  }
  return cases
}

/** Writes events down in the words of the fixtures; neighbouring data is one line however it was cut. */
class Recorder implements StreamDecoder {
  codec: Http1ServerCodec | null = null
  private readonly lines: string[] = []
  private data = ''

  onHeaders(s: CodecStream, h: HeaderBlock, end: boolean): void {
    this.flush()
    let line = h.status > 0 ? `headers ${h.status}` : `headers ${h.method} ${h.path} authority=${h.authority}`
    if (h.scheme !== '') line += ` scheme=${h.scheme}`
    if (this.codec !== null && this.codec.protocol === 'HTTP/1.0') line += ' HTTP/1.0'
    if (s.hostMissing === true) line += ' hostMissing'
    if (s.closeAfter) line += ' close'
    this.lines.push(end ? `${line} end` : line)
    this.fields(h)
  }
  onData(_s: CodecStream, chunk: Uint8Array, end: boolean): Flow {
    this.data += Buffer.from(chunk).toString('latin1')
    if (end) {
      this.flush()
      this.lines.push('end')
    }
    return Flow.Continue
  }
  onTrailers(_s: CodecStream, trailers: HeaderBlock): void {
    this.flush()
    this.lines.push('trailers')
    this.fields(trailers)
  }
  onReset(_s: CodecStream, why: ResetReason): void {
    this.flush()
    this.lines.push(why === ResetReason.Protocol ? 'reset protocol' : `reset ${why}`)
  }
  onWritable(): void {}
  onProtocolError(_s: CodecStream, status: number, details: string): void {
    this.flush()
    this.lines.push(`error ${status} ${details}`)
  }
  onConnectionError(details: string): void {
    this.flush()
    this.lines.push(`error 0 ${details}`)
  }
  text(): string {
    this.flush()
    return this.lines.map(line => line.trimEnd()).join('\n')
  }
  private fields(h: HeaderBlock): void {
    for (let i = 0; i < h.list.length; i += 2) this.lines.push(`  ${h.list[i]!}: ${printable(h.list[i + 1]!)}`)
  }
  private flush(): void {
    if (this.data !== '') this.lines.push(`data ${printable(this.data)}`)
    this.data = ''
  }
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, char => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

const options = { ...defaultHttp1Options, enableTrailers: true }

function serve(pieces: readonly Buffer[]): string {
  const recorder = new Recorder()
  const codec = new Http1ServerCodec(new FakeConnection(), recorder, options)
  recorder.codec = codec
  for (const piece of pieces) codec.dispatch(Buffer.from(piece), false)
  return recorder.text()
}

function receive(pieces: readonly Buffer[], method: string, eof: boolean): string {
  const recorder = new Recorder()
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
