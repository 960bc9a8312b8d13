import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CONTINUATION,
  DATA,
  END_HEADERS,
  frame,
  HEADERS,
  headersFrames,
  SETTINGS,
  WINDOW_UPDATE,
  word,
} from '../harness/h2-frames.ts'
import type { Field } from '../harness/hpack.ts'
import { allocatePort } from '../harness/ports.ts'
import { RunningProxy } from '../integration/proxy/running-proxy.ts'
import type { CorpusRun } from './corpora.ts'
import { everyFilter, FILTERS } from './every-filter.ts'
import { exchange } from './exchange.ts'
import { exchangeHttp2, type Http2Event } from './exchange-http2.ts'
import { RecordingUpstream } from './recording-upstream.ts'

/**
 * Requests that are refused before they have headers, or before the first filter has seen them. Answers to them pass the filters on
 * their way out all the same, as access log, spans and telemetry do: each filter is met without what it had to do with a request.
 */
const http1: Readonly<Record<string, string>> = {
  garbage: '\x00\x01\x02\xff\xfe\r\n\r\n',
  'a TLS hello': '\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\r\n',
  'another protocol': 'SSH-2.0-OpenSSH_9.9\r\n',
  'a head that only begins': 'GET / HTTP/1.1\r\nHost: x\r\nA',
  'a letter behind line ends': '\r\n\r\nG',
  'a byte that begins nothing': '\xff',
  'HTTP/1.0': 'GET / HTTP/1.0\r\nHost: x\r\n\r\n',
  'HTTP/0.9': 'GET /\r\n\r\n',
  'HTTP/3.0': 'GET / HTTP/3.0\r\nHost: x\r\n\r\n',
  'an unknown method': 'NONSENSE / HTTP/1.1\r\nHost: x\r\n\r\n',
  'a method that is none': 'G@T / HTTP/1.1\r\nHost: x\r\n\r\n',
  'no Host': 'GET / HTTP/1.1\r\n\r\n',
  'two Hosts': 'GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n',
  'a Host that is none': 'GET / HTTP/1.1\r\nHost: x y\r\n\r\n',
  'an empty target': 'GET  HTTP/1.1\r\nHost: x\r\n\r\n',
  'a target without slash': 'GET x HTTP/1.1\r\nHost: x\r\n\r\n',
  'a target without authority': 'GET http:// HTTP/1.1\r\nHost: x\r\n\r\n',
  'CONNECT that is not configured': 'CONNECT y:80 HTTP/1.1\r\nHost: y:80\r\n\r\n',
  'an upgrade that is not configured': 'GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
  'an expectation nobody meets': 'POST / HTTP/1.1\r\nHost: x\r\nExpect: x\r\nContent-Length: 1\r\n\r\nx',
  'a target that is too long': `GET /${'a'.repeat(70_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
  'a head that is too large': `GET / HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(70_000)}\r\n\r\n`,
  'too many fields': `GET / HTTP/1.1\r\nHost: x\r\n${'a: b\r\n'.repeat(101)}\r\n`,
  'a line without colon': 'GET / HTTP/1.1\r\nHost: x\r\nbad\r\n\r\n',
  'a name that is none': 'GET / HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n',
  'NUL in a value': 'GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n',
  'a length that is none': 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\nx',
  'a length and chunks':
    'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'an unknown coding': 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n',
  'a chunk size that is none': 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n',
  'garbage behind a request': 'GET / HTTP/1.1\r\nHost: x\r\n\r\n\x16\x03\x01garbage\r\n\r\n',
  'a preface that goes wrong': 'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n',
}

const GOOD: readonly Field[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'x'],
]
const head = (...changes: readonly Field[]): Field[] => {
  const changed = new Map(changes)
  const known = GOOD.map(([name, value]): Field => [name, changed.get(name) ?? value])
  return [...known, ...changes.filter(([name]) => !GOOD.some(field => field[0] === name))]
}
const request = (...changes: readonly Field[]): Buffer => headersFrames(1, head(...changes), true)
const without = (name: string): Buffer =>
  headersFrames(
    1,
    GOOD.filter(field => field[0] !== name),
    true,
  )

/** What follows the preface and SETTINGS. */
const http2: Readonly<Record<string, Buffer>> = {
  'h2: garbage': Buffer.alloc(64, 0xee),
  'h2: HTTP/1.1 behind the preface': Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
  'h2: HPACK that is none': frame(HEADERS, END_HEADERS | 1, 1, Buffer.alloc(16, 0xff)),
  'h2: an index beyond the table': frame(HEADERS, END_HEADERS | 1, 1, Buffer.from([0xfe])),
  'h2: a head on stream 0': frame(HEADERS, END_HEADERS | 1, 0, Buffer.from([0x82])),
  'h2: a head on an even stream': headersFrames(2, GOOD, true),
  'h2: a body without a head': frame(DATA, 1, 1, Buffer.from('x')),
  'h2: a head that begins in the middle': frame(CONTINUATION, END_HEADERS, 1, Buffer.from([0x82])),
  'h2: a frame that is too large': frame(HEADERS, END_HEADERS | 1, 1, Buffer.alloc(70_000)),
  'h2: settings of odd length': frame(SETTINGS, 0, 0, Buffer.alloc(5)),
  'h2: a window update of nothing': frame(WINDOW_UPDATE, 0, 0, word(0)),
  'h2: no method': without(':method'),
  'h2: no path': without(':path'),
  'h2: no scheme': without(':scheme'),
  'h2: no authority': without(':authority'),
  'h2: an empty path': request([':path', '']),
  'h2: a path without slash': request([':path', 'x']),
  'h2: a path with a blank': request([':path', '/a b']),
  'h2: a path with a line end': request([':path', '/a\r\nb: c']),
  'h2: a method that is none': request([':method', 'G T']),
  'h2: an authority that is none': request([':authority', 'x y']),
  'h2: CONNECT': headersFrames(
    1,
    [
      [':method', 'CONNECT'],
      [':authority', 'y:80'],
    ],
    false,
  ),
  'h2: a pseudo header nobody knows': request([':x', 'y']),
  'h2: capitals in a name': request(['A', 'b']),
  'h2: a name that is none': request(['a b', 'c']),
  'h2: a line end in a value': request(['a', 'b\r\nc: d']),
  'h2: connection': request(['connection', 'close']),
  'h2: a list of fields that is too large': request(['a', 'a'.repeat(70_000)]),
  'h2: too many fields': headersFrames(1, [...GOOD, ...Array.from({ length: 101 }, (): Field => ['a', 'b'])], true),
  'h2: a length without a body': request(['content-length', '5']),
}

const CASES = [...Object.keys(http1), ...Object.keys(http2)]
const LOG = 'log'
const NEXT = 'GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'

/** Name of the case → what every filter answers and, where one differs from none at all, what it does; and what the access logs say. */
export async function runRefusedEarly({ command, only, patience = 1 }: CorpusRun = {}): Promise<Map<string, string>> {
  const upstream = await RecordingUpstream.start()
  const folder = mkdtempSync(join(tmpdir(), 'remora-refused-'))
  const listeners = new Map<string, number>()
  for (const name of ['none', ...Object.keys(FILTERS), 'all']) listeners.set(name, await allocatePort())
  const proxy = await RunningProxy.start({
    upstream: upstream.port,
    bootstrap: everyFilter(listeners, folder, upstream.port, command !== undefined),
    flags: ['--file-flush-interval-msec', '50'],
    ...(command === undefined ? {} : { command }),
  })
  const wanted = only === undefined || only.has(LOG) ? CASES : CASES.filter(name => only.has(name))
  const quiet = 300 * patience
  try {
    const seen = await Promise.all(
      [...listeners].map(async ([name, port]) => {
        const outcomes = new Map<string, string>()
        for (const one of wanted) {
          const bytes = http2[one]
          const answer = bytes === undefined ? await ask(port, http1[one]!, quiet) : await askHttp2(port, bytes, quiet)
          const next = await exchange(port, NEXT, 20_000)
          outcomes.set(one, `${answer} | next ${next.text.slice(9, 12)}`)
        }
        return [name, outcomes] as const
      }),
    )
    await new Promise(resolve => setTimeout(resolve, quiet))
    for (const [name, outcomes] of seen) outcomes.set(LOG, read(join(folder, `${name}.log`)))
    const [[, plain], ...others] = seen as [(typeof seen)[0], ...(typeof seen)[0][]]
    const merged = new Map<string, string>()
    for (const [one, outcome] of plain) {
      const different = others.filter(([, outcomes]) => outcomes.get(one) !== outcome)
      merged.set(one, [outcome, ...different.map(([name, outcomes]) => `${name}: ${outcomes.get(one)}`)].join('\n'))
    }
    if (only !== undefined && !only.has(LOG)) merged.delete(LOG)
    // A worker that ended has a replacement, but says so.
    if (/exited with code|Segmentation|panic/i.test(proxy.log)) merged.set('the log of the proxy', proxy.log)
    return merged
  } finally {
    await proxy.stop()
    await upstream.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function ask(port: number, text: string, quiet: number): Promise<string> {
  const seen = await exchange(port, text, quiet, quiet)
  return `${constant(seen.text)} ${seen.closed ? 'close' : 'open'}`
}

/** Statuses with their headers, bodies, resets and GOAWAY of one connection that sends this. */
async function askHttp2(port: number, bytes: Buffer, quiet: number): Promise<string> {
  const events = await exchangeHttp2(port, [bytes], 3 * quiet)
  return constant(events.map(textOf).join('; '))
}

function textOf(event: Http2Event): string {
  if (event.kind === 'head') return event.fields.map(([name, value]) => `${name}: ${value}`).join(', ')
  if (event.kind === 'body') return event.bytes.toString('latin1')
  return event.kind === 'close' ? 'close' : `${event.kind} ${event.code}`
}

function constant(text: string): string {
  return text.replace(/(date: )[^\r,]*, [^\r,]*GMT/g, '$1now').replace(/(x-envoy-upstream-service-time: )\d+/g, '$1n')
}

function read(path: string): string {
  const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
  const counts = new Map<string, number>()
  for (const line of text.replace(/127\.0\.0\.1:\d+/g, 'upstream').split('\n')) {
    // Those of the requests that tell that the next one works are all the same.
    if (line !== '' && !line.includes('"GET /next ')) counts.set(line, (counts.get(line) ?? 0) + 1)
  }
  // Two of one connection come in any order.
  return [...counts]
    .map(([line, times]) => `${times} × ${line}`)
    .sort()
    .join('; ')
}
