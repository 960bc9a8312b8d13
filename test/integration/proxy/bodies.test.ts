import { createHash } from 'node:crypto'
import { createServer, request, type Server } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { allocatePort } from '../../harness/ports.ts'
import { RunningProxy } from './running-proxy.ts'

const SIZE = 100 * 1024 * 1024
const CHUNK = Buffer.alloc(64 * 1024)
for (let i = 0; i < CHUNK.length; i++) CHUNK[i] = i * 7
/** What the proxy may grow by while a peer is slow: both sockets' buffers and watermarks, not the body. */
const GROWTH = 60 * 1024 * 1024

function digest(): string {
  const hash = createHash('sha256')
  for (let sent = 0; sent < SIZE; sent += CHUNK.length) hash.update(CHUNK)
  return hash.digest('hex')
}

/** Sends SIZE bytes on GET; on POST reads slowly at first and answers with the digest. */
function serve(port: number): Promise<Server> {
  const server = createServer((incoming, outgoing) => {
    if (incoming.method === 'GET') {
      let sent = 0
      const more = (): void => {
        while (sent < SIZE) {
          sent += CHUNK.length
          if (!outgoing.write(CHUNK)) {
            outgoing.once('drain', more)
            return
          }
        }
        outgoing.end()
      }
      more()
      return
    }
    const hash = createHash('sha256')
    let slow = 0
    incoming.on('data', chunk => {
      hash.update(chunk)
      if (slow++ > 20) return
      incoming.pause()
      setTimeout(() => incoming.resume(), 50)
    })
    incoming.on('end', () => outgoing.end(hash.digest('hex')))
  })
  return new Promise(resolve => server.listen(port, '127.0.0.1', () => resolve(server)))
}

t.test('100 MiB bodies pass whole in both directions while the proxy stays small', async t => {
  const upstream = await allocatePort()
  const server = await serve(upstream)
  const proxy = await RunningProxy.start({ upstream })
  t.teardown(async () => {
    await proxy.stop()
    server.closeAllConnections()
    server.close()
  })
  const expected = digest()
  const before = proxy.memory()
  let peak = before
  const watch = setInterval(() => {
    peak = Math.max(peak, proxy.memory())
  }, 20)
  t.teardown(() => clearInterval(watch))

  await t.test('download by a client that reads slowly at first', async t => {
    const hash = createHash('sha256')
    let size = 0
    await new Promise<void>((resolve, reject) => {
      request({ port: proxy.port, path: '/' }, async response => {
        for (let i = 0; i < 20; i++) {
          await sleep(50)
          const chunk = response.read() as Buffer | null
          if (chunk !== null) {
            hash.update(chunk)
            size += chunk.length
          }
        }
        response.on('data', (chunk: Buffer) => {
          hash.update(chunk)
          size += chunk.length
        })
        response.on('end', resolve)
        response.on('error', reject)
      })
        .on('error', reject)
        .end()
    })
    t.equal(size, SIZE)
    t.equal(hash.digest('hex'), expected)
  })

  await t.test('upload to an upstream that reads slowly at first', async t => {
    const answer = await new Promise<string>((resolve, reject) => {
      const outgoing = request({ port: proxy.port, path: '/', method: 'POST' }, response => {
        let text = ''
        response.on('data', chunk => {
          text += chunk
        })
        response.on('end', () => resolve(text))
      })
      outgoing.on('error', reject)
      let sent = 0
      const more = (): void => {
        while (sent < SIZE) {
          sent += CHUNK.length
          if (!outgoing.write(CHUNK)) {
            outgoing.once('drain', more)
            return
          }
        }
        outgoing.end()
      }
      more()
    })
    t.equal(answer, expected)
  })

  t.ok(peak - before < GROWTH, `grew by ${((peak - before) / 1048576).toFixed(0)} MiB`)
})
