import { spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
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

interface FullWorker {
  readonly port: number
  /** What it has said so far. */
  said(): string
  free(): Promise<void>
}

async function fullWorker(t: Test, ...mode: string[]): Promise<FullWorker> {
  const program = fileURLToPath(new URL('full-worker.ts', import.meta.url))
  const child = spawn('sh', ['-c', `ulimit -n 64; exec "${process.execPath}" "${program}" ${mode.join(' ')}`], {
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
  return {
    port: Number(/full (\d+)/.exec(said)![1]),
    said: () => said,
    free() {
      child.stdin.write('\n')
      return until(() => said.includes('free'), 'some are free')
    },
  }
}

t.test('clients are turned away, not left waiting, when there are no descriptors left', { skip }, async t => {
  const worker = await fullWorker(t)
  const three = () => Promise.all([ask(worker.port), ask(worker.port), ask(worker.port)])
  t.same(await three(), ['', '', ''])
  t.match(worker.said(), /error -24\n/, 'EMFILE is told')
  await worker.free()
  t.same(await three(), ['served', 'served', 'served'])
})

t.test('clients that it could not even turn away are served when there are descriptors again', { skip }, async t => {
  const worker = await fullWorker(t, 'late')
  const waiting = Promise.all([ask(worker.port), ask(worker.port)])
  await until(() => worker.said().includes('error -24'), 'EMFILE is told')
  await worker.free()
  // Nobody else comes: the queue would not tell of them again.
  t.same(await waiting, ['served', 'served'])
})
