import type { Socket } from 'node:net'
import type { UpstreamRecord, UpstreamState } from './behaviour.ts'

/**
 * One connection of a plain TCP upstream. Scripts: `echo` (default), `greet` (speaks first, then echoes), `sink` (reads
 * until the peer half-closes, then answers how much came and closes), `closeafter:N` (closes after N bytes), `rst`
 * (resets at the first byte), `closenow`, `silent`.
 */
export function serveTcp(socket: Socket, name: string, state: UpstreamState, script: string): void {
  const [word = 'echo', argument = ''] = script.split(':')
  const record: UpstreamRecord = {
    upstream: name,
    protocol: 'tcp',
    head: [],
    framing: 'tcp',
    body: Buffer.alloc(0),
    trailers: [],
    end: 'open',
  }
  state.records.push(record)
  if (word === 'greet') socket.write(`220 ${name} ready\r\n`)
  if (word === 'closenow') socket.end()
  socket.on('data', (bytes: Buffer) => {
    record.body = Buffer.concat([record.body, bytes])
    if (word === 'echo' || word === 'greet') socket.write(bytes)
    else if (word === 'rst') socket.resetAndDestroy()
    else if (word === 'closeafter' && record.body.length >= Number(argument)) socket.end('bye')
  })
  socket.on('end', () => {
    record.end = 'closed'
    if (word === 'sink') socket.end(`sunk ${record.body.length}`)
    else socket.end()
  })
  socket.on('error', () => {
    record.end = 'reset'
    socket.destroy()
  })
}
