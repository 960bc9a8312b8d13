import { spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { until } from '../../harness/until.ts'

const skip = process.platform === 'linux' ? false : 'needs Linux'

function ask(port: number): Promise<string> {
  return new Promise(resolve => {
    let text = ''
    const socket = net.connect(port, '127.0.0.1')
    socket.on('data', d => {
      text += d
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(text))
  })
}

t.test('clients are turned away, not left waiting, when there are no descriptors left', { skip }, async t => {
  const program = fileURLToPath(new URL('full-worker.ts', import.meta.url))
  const child = spawn('sh', ['-c', `ulimit -n 64; exec "${process.execPath}" "${program}"`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.teardown(async () => {
    child.kill()
    await once(child, 'exit')
  })
  let said = ''
  child.stdout.on('data', chunk => {
    said += String(chunk)
  })
  await until(() => /full \d+\n/.test(said), 'all descriptors are taken')
  const port = Number(/full (\d+)/.exec(said)![1])
  t.same(await Promise.all([ask(port), ask(port), ask(port)]), ['', '', ''])
  t.match(said, /error -24\n/, 'EMFILE is told')
  child.stdin.write('\n')
  await until(() => said.includes('free'), 'some are free')
  t.same(await Promise.all([ask(port), ask(port), ask(port)]), ['served', 'served', 'served'])
})
