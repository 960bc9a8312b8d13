import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { allocatePort } from '../../harness/ports.ts'
import { settled, until } from '../../harness/until.ts'

const TCP_PROXY = 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy'
const socket = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } })

/** How many descriptors the process has of the socket of which it has most: of one that listens, main's own and one for each worker. */
function mostOfOne(pid: number): number {
  const folder = `/proc/${pid}/fd`
  const counts = new Map<string, number>()
  for (const fd of readdirSync(folder)) {
    try {
      const target = readlinkSync(join(folder, fd))
      if (target.startsWith('socket:')) counts.set(target, (counts.get(target) ?? 0) + 1)
    } catch {
      // It is closed already.
    }
  }
  return Math.max(...counts.values())
}

t.setTimeout(120_000)

t.test(
  'a worker that dies before it reads its listeners leaves none of their descriptors open',
  { skip: process.platform === 'linux' ? false : 'needs Linux' },
  async t => {
    const port = await allocatePort()
    const file = join(t.testdir(), 'envoy.json')
    const proxyFilter = { name: 'tcp', typed_config: { '@type': TCP_PROXY, stat_prefix: 's', cluster: 'c' } }
    writeFileSync(
      file,
      JSON.stringify({
        static_resources: {
          listeners: [{ name: 'l', address: socket(port), filter_chains: [{ filters: [proxyFilter] }] }],
          clusters: [{ name: 'c', type: 'STATIC' }],
        },
      }),
    )
    let log = ''
    const proxy = fork(
      fileURLToPath(new URL('stillborn-proxy.ts', import.meta.url)),
      ['-c', file, '--concurrency', '1', '--disable-hot-restart'],
      { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] },
    )
    proxy.stderr!.on('data', chunk => {
      log += String(chunk)
    })
    t.teardown(async () => {
      proxy.kill()
      await once(proxy, 'exit')
    })
    await until(() => log.includes('worker 0 exited with code'), 'the first worker is gone')
    await until(async () => {
      const client = net.connect(port, '127.0.0.1')
      const closed = await new Promise(resolve => {
        client.on('error', () => resolve(false))
        client.on('close', () => resolve(true))
      })
      client.destroy()
      return closed === true
    }, 'its replacement accepts')
    const open = await settled(
      async () => mostOfOne(proxy.pid!),
      count => count === 2,
    )
    t.equal(open, 2)
  },
)
