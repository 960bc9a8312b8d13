import { type CodecStream, ResetReason, type StreamDecoder } from '../../../../src/codec/codec.ts'
import type { HeaderBlock } from '../../../../src/codec/header-block.ts'
import type { Http1ServerCodec } from '../../../../src/codec/http1/server.ts'
import { Flow } from '../../../../src/io/connection.ts'

/** Writes events down in the words of the fixtures; neighbouring data is one line however it was cut. */
export class EventRecorder implements StreamDecoder {
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
