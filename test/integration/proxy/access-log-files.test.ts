import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { allocatePort } from '../../harness/ports.ts'
import { settled, until } from '../../harness/until.ts'
import { RunningProxy } from './running-proxy.ts'

const FILE = 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog'
const FLAGS = ['--file-flush-interval-msec', '50']

async function behind(paths: readonly string[]): Promise<RunningProxy> {
  const upstream = createServer((_, response) => response.end('ok'))
  const port = await allocatePort()
  await new Promise<void>(resolve => upstream.listen(port, '127.0.0.1', resolve))
  const logs = paths.map(path => ({
    name: 'file',
    typed_config: { '@type': FILE, path, log_format: { text_format_source: { inline_string: '%REQ(:PATH)%\n' } } },
  }))
  const proxy = await RunningProxy.start({
    upstream: port,
    manager: `access_log: ${JSON.stringify(logs)}`,
    flags: FLAGS,
  })
  t.teardown(async () => {
    await proxy.stop()
    upstream.closeAllConnections()
    upstream.close()
  })
  return proxy
}

const get = async (proxy: RunningProxy, path: string): Promise<number> => {
  const response = await fetch(`http://127.0.0.1:${proxy.port}${path}`)
  await response.arrayBuffer()
  return response.status
}

const read = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '')
const count = (text: string, part: string): number => text.split(part).length - 1

t.test('a full disk: traffic goes on, it is counted, and said once', async t => {
  const good = join(t.testdir(), 'good.log')
  const proxy = await behind(['/dev/full', good])
  for (let i = 0; i < 3; i++) {
    t.equal(await get(proxy, `/${i}`), 200)
    await until(async () => (await proxy.stat('filesystem.write_failed')) > i, 'a failed write')
  }
  const told = (): number => count(proxy.log, "access log '/dev/full': ENOSPC")
  t.equal(await settled(told, times => times > 0), 1)
  await until(() => read(good) === '/0\n/1\n/2\n', 'the other log')
})

t.test('SIGUSR1 opens the files again; where that fails lines go on to the old file', async t => {
  const directory = join(t.testdir(), 'logs')
  mkdirSync(directory)
  const path = join(directory, 'a.log')
  const proxy = await behind([path])
  await get(proxy, '/first')
  await until(() => read(path) === '/first\n', 'the first line')

  renameSync(path, `${path}.1`)
  proxy.signal('SIGUSR1')
  await until(() => existsSync(path), 'a new file')
  await get(proxy, '/second')
  await until(() => read(path) === '/second\n', 'the second line')
  t.equal(read(`${path}.1`), '/first\n')

  renameSync(directory, `${directory}.gone`)
  await proxy.post('/reopen_logs')
  await until(async () => (await proxy.stat('filesystem.reopen_failed')) > 0, 'the failure')
  t.equal(await get(proxy, '/third'), 200)
  await until(() => read(join(`${directory}.gone`, 'a.log')) === '/second\n/third\n', 'the third line')
  const told = (): number => count(proxy.log, `access log '${path}': ENOENT`)
  t.equal(await settled(told, times => times > 0), 1)

  mkdirSync(directory)
  await proxy.post('/reopen_logs')
  await until(() => existsSync(path), 'the file is back')
  await get(proxy, '/fourth')
  await until(() => read(path) === '/fourth\n', 'the fourth line')
})
