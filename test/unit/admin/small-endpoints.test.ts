import t from 'tap'
import { contentionHandler } from '../../../src/admin/contention.ts'
import { type DrainRequest, drainListenersHandler } from '../../../src/admin/drain-listeners.ts'
import { healthCheckHandlers } from '../../../src/admin/health-check.ts'
import { hotRestartVersionHandler } from '../../../src/admin/hot-restart-version.ts'
import { initDumpHandler } from '../../../src/admin/init-dump.ts'
import { listenersHandler } from '../../../src/admin/listeners.ts'
import { memoryHandlers } from '../../../src/admin/memory.ts'
import { profilerHandlers } from '../../../src/admin/profilers.ts'
import { quitHandler } from '../../../src/admin/quitquitquit.ts'
import { readyHandler } from '../../../src/admin/ready.ts'
import { recentLookupsHandlers } from '../../../src/admin/recent-lookups.ts'
import { reopenLogsHandler } from '../../../src/admin/reopen-logs.ts'
import { resetCountersHandler } from '../../../src/admin/reset-counters.ts'
import { ServerState } from '../../../src/server/state.ts'
import { ask } from './fakes.ts'
import { recorded } from './recorded.ts'

const address = (port: number) => ({ ip: '127.0.0.1', port, text: `127.0.0.1:${port}` })

t.test('/ready is 200 only when LIVE', async t => {
  for (const [state, status, body] of [
    [ServerState.LIVE, 200, 'LIVE\n'],
    [ServerState.DRAINING, 503, 'DRAINING\n'],
    [ServerState.PRE_INITIALIZING, 503, 'PRE_INITIALIZING\n'],
    [ServerState.INITIALIZING, 503, 'INITIALIZING\n'],
  ] as const) {
    t.match(
      await ask(
        readyHandler(() => state),
        '/ready',
      ),
      { status, body },
    )
  }
})

t.test('/listeners: text and JSON', async t => {
  const handler = listenersHandler(() => [
    { name: 'http_ingress', addresses: [address(18080)] },
    { name: 'tcp_ingress', addresses: [address(18081)] },
    { name: 'https_ingress', addresses: [address(18443)] },
    { name: 'dyn_listener', addresses: [address(18082)] },
  ])
  t.match((await ask(handler, '/listeners')).body, /^http_ingress::127.0.0.1:18080\ntcp_ingress::127.0.0.1:18081\n/)
  t.equal((await ask(handler, '/listeners?format=json')).body, recorded('listeners-json').body)
  t.equal(
    (
      await ask(
        listenersHandler(() => []),
        '/listeners?format=json',
      )
    ).body,
    '{}\n',
  )
})

t.test('/listeners: additional addresses', async t => {
  const handler = listenersHandler(() => [{ name: 'in', addresses: [address(1), address(2)] }])
  t.equal((await ask(handler, '/listeners')).body, 'in::127.0.0.1:1\nin::127.0.0.1:2\n')
  t.match(JSON.parse((await ask(handler, '/listeners?format=json')).body), {
    listener_statuses: [{ additional_local_addresses: [{ socket_address: { port_value: 2 } }] }],
  })
})

t.test('/drain_listeners: parameters count by being there', async t => {
  const seen: DrainRequest[] = []
  const handler = drainListenersHandler(how => seen.push(how))
  t.equal((await ask(handler, '/drain_listeners')).body, 'OK\n')
  await ask(handler, '/drain_listeners?graceful&inboundonly')
  await ask(handler, '/drain_listeners?skip_exit=')
  t.same(seen, [
    { graceful: false, inboundOnly: false, skipExit: false },
    { graceful: true, inboundOnly: true, skipExit: false },
    { graceful: false, inboundOnly: false, skipExit: true },
  ])
})

t.test('what acts acts once and says OK', async t => {
  const calls: string[] = []
  const handlers = [
    ...healthCheckHandlers(failed => calls.push(failed ? 'fail' : 'ok')),
    resetCountersHandler(() => calls.push('reset')),
    reopenLogsHandler(() => calls.push('reopen')),
  ]
  for (const handler of handlers) {
    t.ok(handler.mutates, handler.path)
    t.match(await ask(handler, handler.path), { status: 200, body: 'OK\n' })
  }
  t.same(calls, ['fail', 'ok', 'reset', 'reopen'])
})

t.test('/quitquitquit quits after the answer', async t => {
  let quit = 0
  const { body, response } = await ask(
    quitHandler(() => quit++),
    '/quitquitquit',
  )
  t.equal(body, 'OK\n')
  t.equal(quit, 0)
  response.afterwards?.()
  t.equal(quit, 1)
})

t.test('/hot_restart_version has no line break', async t => {
  t.equal((await ask(hotRestartVersionHandler(false), '/hot_restart_version')).body, '11.104')
  t.equal((await ask(hotRestartVersionHandler(true), '/hot_restart_version')).body, 'disabled')
})

t.test('/contention says that nothing is traced', async t => {
  t.match((await ask(contentionHandler, '/contention')).body, /^Mutex contention tracing is not enabled\. /)
})

t.test('/memory: every field, as text', async t => {
  const usage = { rss: 5, heapTotal: 4, heapUsed: 3, external: 2, arrayBuffers: 1 }
  const { body } = await ask(
    memoryHandlers(() => usage),
    '/memory',
  )
  t.same(JSON.parse(body), {
    allocated: '5',
    heap_size: '6',
    pageheap_unmapped: '0',
    pageheap_free: '1',
    total_thread_cache: '0',
    total_physical_bytes: '5',
  })
  t.match(body, /^\{\n "allocated": "5",\n/)
})

t.test('/init_dump: what listeners wait for', async t => {
  const handler = initDumpHandler(() => [{ name: 'init manager Listener-local-init-manager l', targets: ['t'] }])
  t.same(JSON.parse((await ask(handler, '/init_dump')).body), {
    unready_targets_dumps: [{ name: 'init manager Listener-local-init-manager l', target_names: ['t'] }],
  })
  t.equal((await ask(handler, '/init_dump?mask=nope')).body, '{}\n')
  t.match((await ask(handler, '/init_dump?mask=listener')).body, 'target_names')
  t.equal(
    (
      await ask(
        initDumpHandler(() => []),
        '/init_dump',
      )
    ).body,
    '{}\n',
  )
})

t.test('profilers: parameters are checked, nothing is pretended', async t => {
  const done: string[] = []
  const profiler = {
    startCpuProfile(path: string): void {
      if (path === '/none') throw new Error('ENOENT')
      done.push(`start ${path}`)
    },
    stopCpuProfile: (path: string) => void done.push(`stop ${path}`),
  }
  for (const [target, status, body] of [
    ['/cpuprofiler', 400, '?enable=<y|n>\n'],
    ['/cpuprofiler?enable=x', 400, '?enable=<y|n>\n'],
    ['/cpuprofiler?enable=y', 200, 'OK\n'],
    ['/cpuprofiler?enable=n', 200, 'OK\n'],
    ['/allocprofiler', 400, '?enable=<y|n>\n'],
    ['/heapprofiler', 501, 'The current build does not support heap profiler'],
    ['/heapprofiler?enable=y', 501, 'The current build does not support heap profiler'],
    ['/heap_dump', 501, 'The current build does not support heap dump'],
  ] as const) {
    t.match(await ask(profilerHandlers(profiler, '/p'), target), { status, body }, target)
  }
  t.same(done, ['start /p', 'stop /p'])
  t.match(await ask(profilerHandlers(profiler, '/none'), '/cpuprofiler?enable=y'), {
    status: 500,
    body: 'failure to start the profiler',
  })
})

t.test('/stats/recentlookups: off until enabled', async t => {
  const handlers = recentLookupsHandlers()
  t.match((await ask(handlers, '/stats/recentlookups')).body, /^Lookup tracking is not enabled\./)
  t.equal((await ask(handlers, '/stats/recentlookups/enable')).body, 'OK\n')
  t.equal((await ask(handlers, '/stats/recentlookups')).body, '   Count Lookup\n\ntotal: 0\n')
  await ask(handlers, '/stats/recentlookups/clear')
  await ask(handlers, '/stats/recentlookups/disable')
  t.match((await ask(handlers, '/stats/recentlookups')).body, /^Lookup tracking is not enabled\./)
})
