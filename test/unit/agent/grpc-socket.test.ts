import { mkdtempSync, rmSync } from 'node:fs'
import { connect, Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { GrpcSocket } from '../../../src/agent/grpc-socket.ts'
import { configureLog } from '../../../src/agent/log.ts'
import { bytesMethod } from '../../harness/grpc-bytes.ts'

const lines: string[] = []
configureLog({ write: line => void lines.push(line) })

const SERVICE = { call: bytesMethod('/x/y', false, false) }

t.test('a connection that cannot be accepted is told, and the next one is', async t => {
  const listeners: Server[] = []
  const { listen } = Server.prototype
  t.intercept(Server.prototype, 'listen', {
    value(this: Server, ...args: unknown[]) {
      listeners.push(this)
      return Reflect.apply(listen, this, args)
    },
  })
  const folder = mkdtempSync(join(tmpdir(), 'remora-socket-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 's')
  const socket = new GrpcSocket({ options: {}, service: SERVICE, handlers: { call: () => {} } })
  t.teardown(() => socket.close())
  await socket.listen(path)
  t.equal(listeners.length, 1)
  listeners[0]?.emit('error', new Error('accept EMFILE'))
  t.match(lines.join(''), `listening on unix socket "${path}": accept EMFILE`)
  const client = connect(path)
  t.teardown(() => client.destroy())
  // SETTINGS of HTTP/2: somebody is there.
  await new Promise((resolve, reject) => {
    client.once('data', resolve)
    client.once('error', reject)
  })
})
