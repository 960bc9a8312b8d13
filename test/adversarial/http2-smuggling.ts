import { dataFrame, headersFrames } from '../harness/h2-frames.ts'
import type { Field } from '../harness/hpack.ts'
import { RunningProxy } from '../integration/proxy/running-proxy.ts'
import type { CorpusRun } from './corpora.ts'
import { exchangeHttp2, type Http2Event } from './exchange-http2.ts'
import { RecordingUpstream } from './recording-upstream.ts'

const SMUGGLED = 'GET @/smuggled HTTP/1.1\r\nHost: x\r\n\r\n'

interface Http2Case {
  /** Fields that replace or follow those of a plain POST; a value of null leaves the field out. */
  readonly fields: readonly (readonly [name: string, value: string | null])[]
  readonly body?: string
  readonly trailers?: readonly Field[]
}

/** HTTP/2 requests that would be two, or other ones, if written down as HTTP/1.1 as they are. */
const cases: Record<string, Http2Case> = {
  plain: { fields: [], body: 'hello' },
  'a length too small': { fields: [['content-length', '0']], body: SMUGGLED },
  'a length too large': { fields: [['content-length', '99']], body: 'hello' },
  'two lengths': {
    fields: [
      ['content-length', '5'],
      ['content-length', '5'],
    ],
    body: 'hello',
  },
  'two different lengths': {
    fields: [
      ['content-length', '5'],
      ['content-length', '0'],
    ],
    body: 'hello',
  },
  'a length with a plus': { fields: [['content-length', '+5']], body: 'hello' },
  'transfer-encoding': { fields: [['transfer-encoding', 'chunked']], body: `0\r\n\r\n${SMUGGLED}` },
  connection: { fields: [['connection', 'close']], body: 'hello' },
  'keep-alive': { fields: [['keep-alive', '1']], body: 'hello' },
  upgrade: { fields: [['upgrade', 'websocket']], body: 'hello' },
  'te of another value': { fields: [['te', 'gzip']], body: 'hello' },
  'CR LF in a value': { fields: [['a', `b\r\nContent-Length: 0\r\n\r\n${SMUGGLED}`]] },
  'LF in a value': { fields: [['a', 'b\nc: d']] },
  'CR in a value': { fields: [['a', 'b\rc: d']] },
  'NUL in a value': { fields: [['a', 'b\0c']] },
  'CR LF in a name': { fields: [['a: b\r\nc', 'd']] },
  'a colon in a name': { fields: [['a: b', 'c']] },
  'a blank in a name': { fields: [['a b', 'c']] },
  'an empty name': { fields: [['', 'c']] },
  'capitals in a name': { fields: [['A', 'b']] },
  'a blank around a value': { fields: [['a', ' b ']] },
  'CR LF in the path': { fields: [[':path', `@ HTTP/1.1\r\nHost: x\r\n\r\n${SMUGGLED}`]] },
  'a blank in the path': { fields: [[':path', '@ HTTP/1.1']] },
  'a tab in the path': { fields: [[':path', '@\tx']] },
  'a high byte in the path': { fields: [[':path', '@\xff']] },
  'a fragment in the path': { fields: [[':path', '@#/smuggled']] },
  'a path without slash': { fields: [[':path', 'c@']] },
  'an absolute path': { fields: [[':path', 'http://y@']] },
  'an empty path': { fields: [[':path', '']] },
  'no path': { fields: [[':path', null]] },
  'CR LF in the method': { fields: [[':method', `GET @/smuggled HTTP/1.1\r\nHost: x\r\n\r\nPOST`]] },
  'a blank in the method': { fields: [[':method', 'GET @/smuggled HTTP/1.1']] },
  'an unknown method': { fields: [[':method', 'NONSENSE']] },
  'an empty method': { fields: [[':method', '']] },
  'CR LF in the authority': { fields: [[':authority', 'x\r\na: b']] },
  'a blank in the authority': { fields: [[':authority', 'x y']] },
  'a user in the authority': { fields: [[':authority', 'u@x']] },
  'a path in the authority': { fields: [[':authority', 'x/smuggled']] },
  'no authority, but host': {
    fields: [
      [':authority', null],
      ['host', 'y'],
    ],
  },
  'authority and another host': { fields: [['host', 'y']] },
  'neither authority nor host': { fields: [[':authority', null]] },
  'two hosts': {
    fields: [
      [':authority', null],
      ['host', 'x'],
      ['host', 'y'],
    ],
  },
  'CR LF in the scheme': { fields: [[':scheme', 'http\r\na: b']] },
  'another scheme': { fields: [[':scheme', 'ftp']] },
  'a pseudo header twice': {
    fields: [
      [':path', '@'],
      [':path', '@/smuggled'],
    ],
  },
  'an unknown pseudo header': { fields: [[':x', 'y']] },
  'a pseudo header behind others': {
    fields: [
      ['a', 'b'],
      [':x', 'y'],
    ],
  },
  'a status in a request': { fields: [[':status', '200']] },
  'a pseudo header as trailer': { fields: [], body: 'hello', trailers: [[':path', '@/smuggled']] },
  'CR LF in a trailer': { fields: [], body: 'hello', trailers: [['a', `b\r\n\r\n${SMUGGLED}`]] },
  'transfer-encoding as trailer': { fields: [], body: 'hello', trailers: [['transfer-encoding', 'chunked']] },
  'Expect of 100-continue': { fields: [['expect', '100-continue']], body: 'hello' },
}

async function ask(port: number, one: Http2Case, path: string, quiet: number): Promise<string> {
  const seen = await exchangeHttp2(port, framesOf(one, path), quiet)
  return seen.flatMap(event => textOf(event) ?? []).join(' ')
}

function textOf(event: Http2Event): string | undefined {
  if (event.kind === 'head') return event.fields.find(([name]) => name === ':status')?.[1]
  return event.kind === 'reset' || event.kind === 'goaway' ? `${event.kind} ${event.code}` : undefined
}

function framesOf(one: Http2Case, path: string): Buffer[] {
  const head: Field[] = [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'x'],
  ]
  const more: Field[] = []
  for (const [name, value] of one.fields) {
    const at = head.findIndex(field => field[0] === name)
    if (value === null) head.splice(at, 1)
    else if (at >= 0 && head[at]![1] !== value.replaceAll('@', path)) head[at] = [name, value.replaceAll('@', path)]
    else more.push([name, value.replaceAll('@', path)])
  }
  const body = Buffer.from((one.body ?? '').replaceAll('@', path), 'latin1')
  const bodyEnds = one.trailers === undefined
  const frames = [headersFrames(1, [...head, ...more], body.length === 0 && bodyEnds)]
  if (body.length > 0) frames.push(dataFrame(1, body, bodyEnds))
  if (one.trailers !== undefined) {
    const trailers = one.trailers.map(([name, value]): Field => [name, value.replaceAll('@', path)])
    frames.push(headersFrames(1, trailers, true))
  }
  return frames
}

/** Name of the case → what the client saw, and the requests an HTTP/1.1 upstream got. */
export async function runHttp2Corpus({ command, only, patience = 1 }: CorpusRun = {}): Promise<Map<string, string>> {
  const upstream = await RecordingUpstream.start()
  const proxy = await RunningProxy.start({
    upstream: upstream.port,
    manager: 'codec_type: HTTP2',
    ...(command === undefined ? {} : { command }),
  })
  const outcomes = new Map<string, string>()
  try {
    const list = Object.entries(cases).map(([name, one], i) => ({ name, one, path: pathOf(i) }))
    const wanted = list.filter(({ name }) => only?.has(name) !== false)
    const seen = await Promise.all(wanted.map(({ one, path }) => ask(proxy.port, one, path, 1500 * patience)))
    wanted.forEach(({ name, path }, i) => {
      const requests = upstream.requests.filter(line => line.includes(path))
      outcomes.set(name, [seen[i]!, ...requests].join(' | ').replaceAll(path, '@'))
    })
    for (const line of upstream.requests)
      if (!/ \S*c\d{3}/.test(line)) outcomes.set(`a request of no case: ${line}`, line)
    for (const text of upstream.leftovers) outcomes.set(`bytes that form no request: ${JSON.stringify(text)}`, text)
  } finally {
    await proxy.stop()
    await upstream.stop()
  }
  return outcomes
}

function pathOf(index: number): string {
  return `/c${String(index).padStart(3, '0')}`
}
