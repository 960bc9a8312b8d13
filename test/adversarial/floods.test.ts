import type { Socket } from 'node:net'
import t from 'tap'
import {
  CONTINUATION,
  DATA,
  END_HEADERS,
  frame,
  HEADERS,
  headersFrames,
  PING,
  PREFACE,
  RST_STREAM,
  SETTINGS,
  settingsFrame,
  WINDOW_UPDATE,
  word,
} from '../harness/h2-frames.ts'
import { encodeFields, type Field } from '../harness/hpack.ts'
import { settled, until } from '../harness/until.ts'
import { RunningProxy } from '../integration/proxy/running-proxy.ts'
import { exchange, opened, summary } from './exchange.ts'
import { RecordingUpstream } from './recording-upstream.ts'

// Sixteen floods, one after the other, each with time to end on a busy machine.
t.setTimeout(280_000)

const MIB = 1024 * 1024
/** Growth that is not a leak: heap that was not collected yet, pools and compiled code. */
const ROOM = 128 * MIB
const PRIORITY = 2
const BIG = 4 * MIB

const head = (path: string): Field[] => [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', path],
  [':authority', 'x'],
]
const HELLO = Buffer.concat([PREFACE, settingsFrame([])])

/** The proxy has closed the connection, or has all this time to do so, on a busy machine. */
const PATIENCE = 20_000

/** Writes the frames of an attack as fast as the proxy reads; true when the proxy has closed the connection. `gone`: the proxy has no connection left. */
async function flood(socket: Socket, { count, next, fatal }: Attack, gone: () => Promise<boolean>): Promise<boolean> {
  let closed = false
  const batch = Math.max(1, Math.min(200, Math.floor(65_536 / next(0).length)))
  socket.on('close', () => {
    closed = true
  })
  for (let i = 0; i < count && !closed; ) {
    const parts: Buffer[] = []
    for (const from = i; i < count && i < from + batch; i++) parts.push(next(i))
    if (socket.write(Buffer.concat(parts))) await new Promise(setImmediate)
    else if (!(await wait(socket, 'drain', 700))) {
      if (!fatal) break
      // It reads no more, or has closed already, of which a deaf client hears nothing, or is slow.
      await until(async () => socket.writableLength === 0 || closed || (await gone()), 'the end', PATIENCE).catch(
        () => {},
      )
      if (socket.writableLength > 0) break
    }
  }
  // A deaf client learns of the end only when it reads.
  if (!closed && fatal) {
    socket.resume()
    if (!closed) await wait(socket, 'close', PATIENCE)
  }
  return closed
}

/** False when `bound` ms passed without the event, or the end. */
function wait(socket: Socket, event: 'drain' | 'close', bound: number): Promise<boolean> {
  return new Promise(resolve => {
    const end = (came: boolean): void => {
      clearTimeout(timer)
      socket.off(event, onEvent)
      socket.off('close', onEvent)
      resolve(came)
    }
    const onEvent = (): void => end(true)
    const timer = setTimeout(end, bound, false)
    socket.on(event, onEvent)
    socket.on('close', onEvent)
  })
}

interface Attack {
  readonly first?: Buffer
  readonly count: number
  readonly next: (i: number) => Buffer
  /** The connection must be closed; otherwise it may live, within bounds. */
  readonly fatal: boolean
  /** Never reads: answers pile up at the proxy. */
  readonly deaf?: boolean
  /** Streams must be ended by the idle timeout while the connection is left open. */
  readonly ended?: boolean
}

const times = (count: number, bytes: Buffer): Buffer => Buffer.concat(Array.from({ length: count }, () => bytes))
const pings = times(1000, frame(PING, 0, 0, Buffer.alloc(8)))
const emptySettings = times(1000, frame(SETTINGS, 0, 0))
const request = (stream: number, path: string, end = true): Buffer => headersFrames(stream, head(path), end)
/** One entry of 4,000 bytes put into the table, then named over and over. */
const bomb = Buffer.concat([
  encodeFields(head('/')),
  Buffer.from([0x40, 1, 0x61, 0x7f, 0xa1, 0x1e]),
  Buffer.alloc(4000, 'a'),
  Buffer.alloc(12_000, 0xbe),
])

const attacks: Record<string, Attack> = {
  'a header bomb over HTTP/1.1': {
    first: Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n'),
    count: 20_000,
    next: i => Buffer.from(`a${i}: ${'b'.repeat(100)}\r\n`),
    fatal: true,
  },
  'one endless header line': {
    first: Buffer.from('GET / HTTP/1.1\r\nHost: x\r\nA: '),
    count: 5000,
    next: () => Buffer.alloc(1000, 'a'),
    fatal: true,
  },
  'pipelined requests that are never read': {
    first: Buffer.alloc(0),
    count: 20_000,
    next: () => Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    fatal: false,
    deaf: true,
  },
  'an HPACK bomb': { count: 50, next: i => frame(HEADERS, END_HEADERS | 1, 2 * i + 1, bomb), fatal: false },
  'a CONTINUATION flood': {
    first: Buffer.concat([HELLO, frame(HEADERS, 0, 1, encodeFields(head('/')))]),
    count: 5000,
    next: () => frame(CONTINUATION, 0, 1, encodeFields([['a', 'b'.repeat(1000)]])),
    fatal: true,
  },
  'a flood of empty CONTINUATION frames': {
    first: Buffer.concat([HELLO, frame(HEADERS, 0, 1, encodeFields(head('/')))]),
    count: 20_000,
    next: () => frame(CONTINUATION, 0, 1),
    fatal: true,
  },
  'rapid reset': {
    count: 20_000,
    next: i => Buffer.concat([request(2 * i + 1, '/'), frame(RST_STREAM, 0, 2 * i + 1, word(8))]),
    fatal: true,
  },
  'a PING flood that is never read': { count: 3000, next: () => pings, fatal: true, deaf: true },
  'a SETTINGS flood that is never read': { count: 3000, next: () => emptySettings, fatal: true, deaf: true },
  'a flood of empty DATA frames': {
    first: Buffer.concat([HELLO, request(1, '/', false)]),
    count: 20_000,
    next: () => frame(DATA, 0, 1),
    fatal: true,
  },
  'a PRIORITY flood': {
    count: 20_000,
    next: i => frame(PRIORITY, 0, 2 * (i % 1000) + 1, Buffer.alloc(5)),
    fatal: true,
  },
  'a WINDOW_UPDATE flood': { count: 20_000, next: () => frame(WINDOW_UPDATE, 0, 0, word(1)), fatal: true },
  'more streams than allowed': { count: 5000, next: i => request(2 * i + 1, '/never', false), fatal: false },
  'big responses into windows of zero': {
    first: Buffer.concat([PREFACE, settingsFrame([[4, 0]])]),
    count: 30,
    next: i => request(2 * i + 1, '/big'),
    fatal: false,
    ended: true,
  },
  'big responses that are never read': {
    first: Buffer.concat([PREFACE, settingsFrame([[4, 0x7fffffff]]), frame(WINDOW_UPDATE, 0, 0, word(0x7fff0000))]),
    count: 30,
    next: i => request(2 * i + 1, '/big'),
    fatal: false,
    ended: true,
    deaf: true,
  },
}

t.test('floods are ended or bounded, and other clients are served meanwhile', async t => {
  const upstream = await RecordingUpstream.start()
  const big = `HTTP/1.1 200 OK\r\ncontent-length: ${BIG}\r\n\r\n${'x'.repeat(BIG)}`
  upstream.answer = path =>
    path === '/big' ? big : path === '/never' ? '' : 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'
  const proxy = await RunningProxy.start({ upstream: upstream.port, manager: 'stream_idle_timeout: 5s' })
  t.teardown(async () => {
    await proxy.stop()
    await upstream.stop()
  })
  const probe = (): Promise<string> =>
    exchange(proxy.port, 'GET /probe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', PATIENCE).then(summary)
  for (let i = 0; i < 20; i++) await probe()
  const before = proxy.memory()
  for (const [name, attack] of Object.entries(attacks)) {
    const socket = await opened(proxy.port)
    if (attack.deaf === true) socket.pause()
    else socket.resume()
    socket.write(attack.first ?? HELLO)
    const running = flood(socket, attack, async () => (await proxy.stat('http.http.downstream_cx_active')) === 0)
    t.equal(await probe(), '200 close', `${name}: another client is served`)
    const closed = await running
    if (attack.fatal) t.ok(closed, `${name}: the connection is closed`)
    t.equal(await probe(), '200 close', `${name}: another client is served afterwards`)
    const grown = proxy.memory() - before
    t.ok(grown < ROOM, `${name}: ${Math.round(grown / MIB)} MiB more than before`)
    if (attack.ended === true) t.equal(await leftOver(proxy), 0, `${name}: its streams are ended`)
    socket.destroy()
  }
  t.equal(await leftOver(proxy), 0, 'no request is left over')
  await until(async () => (await proxy.stat('cluster.upstream.upstream_rq_active')) === 0, 'nor upstream')
})

/** Requests still active after all had time to end. */
function leftOver(proxy: RunningProxy): Promise<number> {
  return settled(
    () => proxy.stat('http.http.downstream_rq_active'),
    active => active === 0,
  )
}
