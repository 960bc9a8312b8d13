import t from 'tap'
import { configureLog, formatLine } from '../../../src/agent/log.ts'
import type { ProxyExit } from '../../../src/agent/proxy-process.ts'
import { proxyArguments } from '../../../src/agent/proxy-process.ts'
import { Readiness } from '../../../src/agent/readiness.ts'
import { Supervisor } from '../../../src/agent/supervisor.ts'

configureLog({ write: () => {} })

function supervise(drain: () => Promise<void> = async () => {}): {
  supervisor: Supervisor
  exit: (exit: ProxyExit) => void
  kills: () => number
} {
  const exited = Promise.withResolvers<ProxyExit>()
  let kills = 0
  const supervisor = new Supervisor({
    proxy: {
      exited: exited.promise,
      kill: () => {
        kills++
        exited.resolve({ status: 137, text: 'signal: killed' })
      },
    },
    drain,
    terminationDrainMs: 3_600_000,
    minimumDrainMs: 0,
    exitOnZeroActiveConnections: false,
    readStats: async () => '',
    ownListeners: new Set(),
  })
  return { supervisor, exit: exited.resolve, kills: () => kills }
}

t.test('a proxy that ends by itself gives the agent its status', async t => {
  const { supervisor, exit, kills } = supervise()
  const run = supervisor.run()
  exit({ status: 139, text: 'signal: segmentation fault' })
  t.equal(await run, 139)
  t.equal(kills(), 0)
})

t.test('a proxy that ends while it drains is not waited for', async t => {
  const draining = Promise.withResolvers<void>()
  const { supervisor, exit, kills } = supervise(async () => draining.resolve())
  const run = supervisor.run()
  supervisor.stop()
  await draining.promise
  exit({ status: 0, text: 'exit status 0' })
  t.equal(await run, 0)
  t.equal(kills(), 0)
})

t.test('a second SIGTERM changes nothing: the drain has its length', async t => {
  const draining = Promise.withResolvers<void>()
  const { supervisor, exit, kills } = supervise(async () => draining.resolve())
  const run = supervisor.run()
  supervisor.stop()
  await draining.promise
  supervisor.stop()
  exit({ status: 0, text: 'exit status 0' })
  t.equal(await run, 0)
  t.equal(kills(), 0)
})

t.test('a drain that fails does not keep the pod', async t => {
  const { supervisor } = supervise(async () => {
    throw new Error('no admin port')
  })
  const run = supervisor.run()
  supervisor.skipDrain()
  supervisor.stop()
  t.equal(await run, 0)
})

t.test('readiness: a proxy that cannot be asked is not ready, and says why', async t => {
  const readiness = new Readiness(async () => {
    throw new Error('connect ECONNREFUSED')
  })
  t.equal(await readiness.check(), 'connect ECONNREFUSED')
})

t.test('log lines are those of Istio', async t => {
  const time = '2026-01-01T00:00:00.000000Z'
  t.equal(formatLine(false, time, 'info', 'default', 'hello', undefined), `${time}\tinfo\thello\n`)
  t.equal(
    formatLine(false, time, 'warn', 'xdsproxy', 'hello', { id: 1, ips: ['a', 'b'] }),
    `${time}\twarn\txdsproxy\thello\tid=1 ips=[a b]\n`,
  )
  t.equal(
    formatLine(true, time, 'error', 'dns', 'a\n"b"', { id: 1 }),
    `{"level":"error","time":"${time}","scope":"dns","msg":"a\\n\\"b\\"","id":1}\n`,
  )
})

t.test('scopes have levels of their own', async t => {
  t.throws(() => configureLog({ outputLevel: 'default:loud' }), /invalid log level "loud"/)
})

t.test('--proxyLogLevel is split into level and components', async t => {
  const config = { drainDurationMs: 45_000, fileFlushIntervalMs: 1000, fileFlushMinSizeKb: 4, concurrency: 0 }
  const args = proxyArguments({
    bootstrapPath: 'b',
    config: config as never,
    addressVersion: 'v6',
    logLevel: 'misc:error',
    componentLogLevel: 'ignored:info',
    skipDeprecatedLogs: false,
    override: '{"a":1}',
  }).join(' ')
  t.match(args, /--local-address-ip-version v6/)
  t.match(args, /--file-flush-min-size-kb 4 --component-log-level misc:error --config-yaml \{"a":1\}$/)
})
