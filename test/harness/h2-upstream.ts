import type { Socket } from 'node:net'
import { grpcFrame } from '../../src/http/grpc-frames.ts'
import { checkRequestText, limitRequestText } from './authz-wire.ts'
import type { UpstreamRecord, UpstreamState } from './behaviour.ts'
import { dataFrame, frame, GOAWAY, H2Peer, headersFrames, RST_STREAM, word as wordBytes } from './h2-frames.ts'
import type { Field } from './hpack.ts'
import { sleep, UPSTREAM_DATE } from './http1-upstream.ts'

interface Stream {
  readonly record: UpstreamRecord
  readonly script: string | undefined
  answered: boolean
}

/** One HTTP/2 (and so gRPC) connection of a scripted upstream. Same `x-up` language, with stream-level words. */
export function serveH2(socket: Socket, name: string, state: UpstreamState, fixed: string | null): void {
  const streams = new Map<number, Stream>()
  // `settings:8=0`: of the connection; what its requests get is said by them.
  const match = /^settings:(\d+)=(\d+)$/.exec(fixed ?? '')
  const settings: [number, number][] = match === null ? [] : [[Number(match[1]), Number(match[2])]]
  const own = match === null ? fixed : null
  const begin = (id: number, stream: Stream) => {
    if (stream.answered) return
    stream.answered = true
    void answer(socket, peer, id, name, state, stream)
  }
  const peer = new H2Peer(
    socket,
    'server',
    {
      onHeaders(id, fields, endStream) {
        const known = streams.get(id)
        if (known !== undefined) {
          known.record.trailers = fields.map(line)
          known.record.end = 'complete'
          begin(id, known)
          return
        }
        const record: UpstreamRecord = {
          upstream: name,
          protocol: 'h2',
          head: fields.map(line),
          framing: 'h2',
          body: Buffer.alloc(0),
          trailers: [],
          end: endStream ? 'complete' : 'incomplete',
        }
        state.records.push(record)
        const script = own ?? fields.find(([field]) => field === 'x-up')?.[1]
        const stream: Stream = { record, script, answered: false }
        streams.set(id, stream)
        if (endStream || script?.startsWith('early')) begin(id, stream)
      },
      onData(id, bytes, endStream) {
        const stream = streams.get(id)
        if (stream === undefined) return
        stream.record.body = Buffer.concat([stream.record.body, bytes])
        if (!endStream) return
        stream.record.end = 'complete'
        begin(id, stream)
      },
      onReset(id, code) {
        const stream = streams.get(id)
        if (stream !== undefined) stream.record.end = `reset ${code}`
      },
      onGoaway() {},
    },
    settings,
  )
  socket.on('end', () => socket.end())
  socket.on('error', () => socket.destroy())
}

async function answer(
  socket: Socket,
  peer: H2Peer,
  id: number,
  name: string,
  state: UpstreamState,
  stream: Stream,
): Promise<void> {
  const isGrpc = stream.record.head.some(field => field.startsWith('content-type: application/grpc'))
  let status = '200'
  let body = Buffer.from(`${name} got h2 request with ${stream.record.body.length} bytes\n`)
  let headers: Field[] = [
    ['x-upstream', name],
    ['date', UPSTREAM_DATE],
    ['content-type', isGrpc ? 'application/grpc' : 'text/plain'],
  ]
  let trailers: Field[] | null = null
  for (const { word, argument } of state.next(stream.script)) {
    switch (word) {
      case 'ok':
      case 'early':
        break
      case 'delay':
        await sleep(Number(argument))
        break
      case 'status':
        status = argument
        break
      case 'hdr':
        headers.push(pair(argument))
        break
      case 'bare':
        headers = []
        break
      case 'body':
        body = Buffer.alloc(Number(argument), 'x')
        break
      case 'trailer':
        trailers = [...(trailers ?? []), pair(argument)]
        break
      case 'grpc': {
        const [code = '0', message] = argument.split(':')
        body = Buffer.from('\0\0\0\0\x05hello', 'latin1')
        trailers =
          message === undefined
            ? [['grpc-status', code]]
            : [
                ['grpc-status', code],
                ['grpc-message', message],
              ]
        break
      }
      case 'message': {
        // A gRPC reply: the bytes of its message in hex.
        const bytes = Buffer.from(argument, 'hex')
        const prefix = Buffer.alloc(5)
        prefix.writeUInt32BE(bytes.length, 1)
        body = Buffer.concat([prefix, bytes])
        trailers = [['grpc-status', '0']]
        break
      }
      case 'check':
        stream.record.body = Buffer.from(checkRequestText(stream.record.body))
        body = Buffer.from(grpcFrame(Buffer.from(argument, 'base64')))
        trailers = [['grpc-status', '0']]
        break
      case 'limit':
        stream.record.body = Buffer.from(limitRequestText(stream.record.body))
        body = Buffer.from(grpcFrame(Buffer.from(argument, 'base64')))
        trailers = [['grpc-status', '0']]
        break
      case 'tonly': {
        const [code = '0', message = ''] = argument.split(':')
        const only: Field[] = [
          [':status', '200'],
          ['content-type', 'application/grpc'],
          ['grpc-status', code],
        ]
        if (message !== '') only.push(['grpc-message', message])
        peer.write(headersFrames(id, only, true))
        return
      }
      case 'hints':
        peer.write(
          headersFrames(
            id,
            [
              [':status', '103'],
              ['link', '</a.css>'],
            ],
            false,
          ),
        )
        break
      case 'continue':
        peer.write(headersFrames(id, [[':status', '100']], false))
        break
      case 'headersonly':
        peer.write(headersFrames(id, [[':status', status], ...headers], true))
        return
      case 'rst':
        peer.write(frame(RST_STREAM, 0, id, wordBytes(Number(argument))))
        return
      case 'rstafter':
        peer.write(headersFrames(id, [[':status', status], ...headers], false))
        peer.write(dataFrame(id, Buffer.from('partial'), false))
        await sleep(20)
        peer.write(frame(RST_STREAM, 0, id, wordBytes(Number(argument))))
        return
      case 'slow':
        peer.write(headersFrames(id, [[':status', status], ...headers], false))
        peer.write(dataFrame(id, Buffer.from('hello'), false))
        await sleep(Number(argument))
        peer.write(dataFrame(id, Buffer.from('world'), true))
        return
      case 'goaway':
        peer.write(frame(GOAWAY, 0, 0, Buffer.concat([wordBytes(id), wordBytes(Number(argument || '0'))])))
        break
      case 'goawayrefuse':
        // GOAWAY that excludes this stream: RFC 9113 section 6.8 makes it safe to retry.
        peer.write(frame(GOAWAY, 0, 0, Buffer.concat([wordBytes(0), wordBytes(0)])))
        socket.end()
        return
      case 'badframe':
        // DATA on stream 0 is a connection error (RFC 9113 section 6.1).
        peer.write(dataFrame(0, Buffer.from('x'), false))
        return
      case 'close':
        socket.end()
        return
      case 'connrst':
        socket.resetAndDestroy()
        return
      case 'hang':
        return
      default:
        throw new Error(`scripted h2 upstream: unknown action ${word}`)
    }
  }
  peer.write(headersFrames(id, [[':status', status], ...headers], false))
  peer.write(dataFrame(id, body, trailers === null))
  if (trailers !== null) peer.write(headersFrames(id, trailers, true))
}

function line(field: Field): string {
  return `${field[0]}: ${field[1]}`
}

function pair(argument: string): Field {
  const equals = argument.indexOf('=')
  return [argument.slice(0, equals), argument.slice(equals + 1)]
}
