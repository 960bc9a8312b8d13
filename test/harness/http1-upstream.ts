import type { Socket } from 'node:net'
import { headerValue, type Message, MessageReader } from '../../bench/wire/http1-message.ts'
import type { Action, UpstreamRecord, UpstreamState } from './behaviour.ts'

/** A date that cannot be mistaken for one a proxy put there. */
export const UPSTREAM_DATE = 'Thu, 01 Jan 1970 00:00:00 GMT'

/** Whole answers, sent byte for byte; then the connection is closed where the name says so. */
const CANNED: Readonly<Record<string, readonly [bytes: string, then: 'keep' | 'close']>> = {
  garbage: ['this is not HTTP at all\r\n\r\n', 'close'],
  partial: ['HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npartial', 'close'],
  chunkpart: ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7\r\npartial\r\n', 'close'],
  badchunk: ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\npartial\r\n', 'close'],
  untilclose: ['HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nuntil close', 'close'],
  noheaders: ['HTTP/1.1 200 OK\r\n\r\n', 'close'],
  http10: ['HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nhttp10 body\n', 'close'],
  http10keep: ['HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok', 'keep'],
  twolen: ['HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 5\r\n\r\nabcde', 'close'],
  telen: ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n2\r\nok\r\n0\r\n\r\n', 'close'],
  chunked: [
    'HTTP/1.1 200 OK\r\nX-Mixed-Case: Yes\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n',
    'keep',
  ],
  trailers: [
    'HTTP/1.1 200 OK\r\ntrailer: x-trail\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-trail: end\r\n\r\n',
    'keep',
  ],
  noreason: ['HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok', 'keep'],
  oddreason: ['HTTP/1.1 200 Quite Fine\r\ncontent-length: 2\r\n\r\nok', 'keep'],
  status299: ['HTTP/1.1 299 Whatever\r\ncontent-length: 2\r\n\r\nok', 'keep'],
  badstatus: ['HTTP/1.1 20 OK\r\ncontent-length: 2\r\n\r\nok', 'close'],
  obsfold: ['HTTP/1.1 200 OK\r\nx-fold: a\r\n b\r\ncontent-length: 2\r\n\r\nok', 'keep'],
  barelf: ['HTTP/1.1 200 OK\ncontent-length: 2\n\nok', 'keep'],
  nohost: ['HTTP/1.1 200 OK\r\n: novalue\r\ncontent-length: 2\r\n\r\nok', 'close'],
  extra: ['HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nextra', 'keep'],
  connclose: ['HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok', 'close'],
  keepalive: [
    'HTTP/1.1 200 OK\r\nconnection: keep-alive\r\nkeep-alive: timeout=5\r\ncontent-length: 2\r\n\r\nok',
    'keep',
  ],
  refuseupgrade: ['HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno', 'keep'],
  envoyheaders: [
    'HTTP/1.1 200 OK\r\nx-envoy-upstream-service-time: 999\r\nx-envoy-overloaded: true\r\nx-envoy-foo: bar\r\n' +
      'x-request-id: from-upstream\r\nX-Up-Case: Mixed\r\nvia: 1.0 up\r\ncontent-length: 2\r\n\r\nok',
    'keep',
  ],
}

/** One HTTP/1 connection of a scripted upstream. Requests are answered one after the other, as they come. */
export function serveHttp1(
  socket: Socket,
  name: string,
  state: UpstreamState,
  spec: { readonly script?: string; readonly health?: string },
): void {
  const pending: [UpstreamRecord, Message][] = []
  let switched = false
  let busy = false
  let handled = 0
  const reader = new MessageReader(
    () => 'request',
    message => {
      const record: UpstreamRecord = {
        upstream: name,
        protocol: 'http1',
        head: [message.startLine, ...message.headers],
        framing: message.framing,
        body: Buffer.alloc(0),
        trailers: [],
        end: 'incomplete',
      }
      // Health checks come when they like: they are answered, not recorded.
      if (!isHealthCheck(message)) state.records.push(record)
      pending.push([record, message])
    },
  )
  const refresh = () => {
    for (const [record, message] of pending) {
      record.body = message.body
      record.trailers = message.trailers
      if (message.complete) record.end = 'complete'
    }
  }
  const work = async () => {
    if (busy) return
    busy = true
    for (; handled < pending.length; handled++) {
      const message = pending[handled]![1]
      const own = isHealthCheck(message) ? (spec.health ?? 'ok') : spec.script
      const script = own ?? headerValue(message, 'x-up')
      const early = script?.startsWith('early') === true
      if (!message.complete && !early) break
      switched = await answer(socket, name, message, state.next(script))
    }
    busy = false
  }
  socket.on('data', (bytes: Buffer) => {
    if (switched) {
      socket.write(Buffer.concat([Buffer.from('echo:'), bytes]))
      return
    }
    reader.push(bytes)
    refresh()
    void work()
  })
  socket.on('end', () => {
    refresh()
    socket.end()
  })
  socket.on('error', () => socket.destroy())
}

async function answer(socket: Socket, name: string, message: Message, actions: readonly Action[]): Promise<boolean> {
  const plan = new AnswerPlan(name, message)
  for (const { word, argument } of actions) {
    const canned = CANNED[word]
    if (canned !== undefined) {
      socket.write(Buffer.from(canned[0], 'latin1'))
      if (canned[1] === 'close') socket.end()
      return false
    }
    switch (word) {
      case 'delay':
        await sleep(Number(argument))
        break
      case 'close':
        socket.end()
        return false
      case 'rst':
        socket.resetAndDestroy()
        return false
      case 'hang':
        return false
      case 'hints':
        socket.write('HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n')
        break
      case 'continue':
        socket.write('HTTP/1.1 100 Continue\r\n\r\n')
        break
      case 'switch': {
        const protocol = headerValue(message, 'upgrade') ?? 'none'
        socket.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: ${protocol}\r\nconnection: Upgrade\r\n\r\n`)
        return true
      }
      case 'tunnel':
        socket.write('HTTP/1.1 200 OK\r\n\r\n')
        return true
      case 'slow':
        // Half a body, a pause, the other half.
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello')
        await sleep(Number(argument))
        socket.write('world')
        return false
      default:
        plan.apply(word, argument)
    }
  }
  socket.write(plan.bytes())
  return false
}

/** Puts the parts of an ordinary answer together. */
class AnswerPlan {
  private status = 200
  private headers: string[]
  private body: Buffer
  private readonly method: string

  constructor(name: string, message: Message) {
    const [method = '', path = ''] = message.startLine.split(' ')
    this.method = method
    this.headers = [`x-upstream: ${name}`, 'server: uptest/1', `date: ${UPSTREAM_DATE}`, 'content-type: text/plain']
    this.body = Buffer.from(`${name} got ${method} ${path} with ${message.body.length} bytes\n`)
  }

  apply(word: string, argument: string): void {
    if (word === 'status') this.status = Number(argument)
    else if (word === 'hdr') this.headers.push(argument.replace('=', ': '))
    else if (word === 'bare') this.headers = []
    else if (word === 'body') this.body = Buffer.alloc(Number(argument), 'x')
    else if (word === 'bighdr') this.headers.push(`x-big: ${'a'.repeat(Number(argument))}`)
    else if (word === 'manyhdrs') for (let i = 0; i < Number(argument); i++) this.headers.push(`x-${i}: ${i}`)
    else if (word !== 'ok' && word !== 'early') throw new Error(`scripted upstream: unknown action ${word}`)
  }

  bytes(): Buffer {
    const bodiless = this.status === 204 || this.status === 304
    const head = [`HTTP/1.1 ${this.status} Status`, ...this.headers]
    if (!bodiless) head.push(`content-length: ${this.body.length}`)
    const body = bodiless || this.method === 'HEAD' ? Buffer.alloc(0) : this.body
    return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'), body])
  }
}

function isHealthCheck(message: Message): boolean {
  return headerValue(message, 'user-agent') === 'Envoy/HC'
}

export function sleep(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
