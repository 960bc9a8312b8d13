import type { Socket } from 'node:net'
import type { UpstreamRecord, UpstreamState } from './behaviour.ts'

/**
 * One connection of a plain TCP upstream. Scripts: `echo` (default), `greet` (speaks first, then echoes), `sink` (reads
 * until the peer half-closes, then answers how much came and closes), `closeafter:N` (closes after N bytes), `rst`
 * (resets at the first byte), `closenow`, `silent`, `collect` (silent; one record
 * for all that its connections bring in a scenario, however old they are).
 */
export function serveTcp(socket: Socket, name: string, state: UpstreamState, script: string): void {
  const [word = 'echo', argument = ''] = script.split(':')
  let record: UpstreamRecord = {
    upstream: name,
    protocol: 'tcp',
    head: [],
    framing: 'tcp',
    body: Buffer.alloc(0),
    trailers: [],
    end: 'open',
  }
  if (word !== 'collect') state.records.push(record)
  if (word === 'greet') socket.write(`220 ${name} ready\r\n`)
  if (word === 'closenow') socket.end()
  socket.on('data', (bytes: Buffer) => {
    if (word === 'collect') record = collected(record, state)
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

/** Whoever reports has a thread or two that do, each with a connection of its own. */
function collected(record: UpstreamRecord, state: UpstreamState): UpstreamRecord {
  const known = state.records.find(other => other.upstream === record.upstream)
  if (known !== undefined) return known
  const fresh = { ...record, body: Buffer.alloc(0) }
  state.records.push(fresh)
  return fresh
}
