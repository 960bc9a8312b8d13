import { connect } from 'node:net'
import { H2Peer } from '../harness/h2-frames.ts'
import type { Field } from '../harness/hpack.ts'

/** What an HTTP/2 client was told, in turn. */
export type Http2Event =
  | { readonly kind: 'head'; readonly fields: readonly Field[] }
  | { readonly kind: 'body'; readonly bytes: Buffer }
  | { readonly kind: 'reset' | 'goaway'; readonly code: number }
  | { readonly kind: 'close' }

/**
 * Sends `frames` behind the preface and SETTINGS: everything until a stream, or the connection, has ended, or until nothing had come
 * for `quiet` ms.
 */
export function exchangeHttp2(port: number, frames: readonly Buffer[], quiet: number): Promise<Http2Event[]> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    const events: Http2Event[] = []
    let timer = setTimeout(done, quiet)
    function done(): void {
      clearTimeout(timer)
      socket.destroy()
      // A copy: the end of the socket, which follows, is none of it.
      resolve([...events])
    }
    const last = (event: Http2Event): void => {
      events.push(event)
      done()
    }
    const peer = new H2Peer(socket, 'client', {
      onHeaders(_stream, fields, end) {
        events.push({ kind: 'head', fields })
        if (end) done()
      },
      onData(_stream, bytes, end) {
        events.push({ kind: 'body', bytes })
        if (end) done()
      },
      onReset: (_stream, code) => last({ kind: 'reset', code }),
      onGoaway: (_last, code) => last({ kind: 'goaway', code }),
    })
    socket.on('data', () => {
      clearTimeout(timer)
      timer = setTimeout(done, quiet)
    })
    socket.on('error', () => {})
    socket.on('close', () => last({ kind: 'close' }))
    for (const frame of frames) peer.write(frame)
  })
}
