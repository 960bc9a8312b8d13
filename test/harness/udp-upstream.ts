import { createSocket, type Socket } from 'node:dgram'
import type { UpstreamRecord, UpstreamState } from './behaviour.ts'

/**
 * A collector of datagrams: one record for all of a scenario, a line for each. Script `within:N`: `end` says whether every datagram
 * had at most N bytes.
 */
export function serveUdp(port: number, name: string, state: UpstreamState, script: string): Promise<Socket> {
  const socket = createSocket('udp4')
  const limit = Number(/^within:(\d+)$/.exec(script)?.[1] ?? 0)
  let record: UpstreamRecord | null = null
  let longest = 0
  socket.on('message', bytes => {
    if (record === null || !state.records.includes(record)) {
      record = {
        upstream: name,
        protocol: 'udp',
        head: [],
        framing: 'udp',
        body: Buffer.alloc(0),
        trailers: [],
        end: '',
      }
      state.records.push(record)
      longest = 0
    }
    longest = Math.max(longest, bytes.length)
    record.body = Buffer.concat([record.body, bytes, Buffer.from('\n')])
    if (limit > 0) record.end = longest > limit ? `longer than ${limit} bytes` : `within ${limit} bytes`
  })
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.bind(port, '127.0.0.1', () => resolve(socket))
  })
}
