import { readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ConfigError } from '../../../src/base/errors.ts'
import type { TimerNode, Timers } from '../../../src/base/timer.ts'
import { parseAccessLogFilter } from '../../../src/config/access-log.ts'
import { FieldPath } from '../../../src/config/field-path.ts'
import type { WorkerServices } from '../../../src/config/services.ts'
import { compileAccessLogFilter } from '../../../src/telemetry/access-log-filter.ts'
import { DEFAULT_ACCESS_LOG_FORMAT, fileAccessLog, LineLogger } from '../../../src/telemetry/access-loggers/file.ts'
import { FileWriter } from '../../../src/telemetry/access-loggers/file-writer.ts'
import type { AccessLogType, FormatContext } from '../../../src/telemetry/format-context.ts'
import { compileFormat } from '../../../src/telemetry/formatter.ts'
import { ResponseFlag, StreamInfo } from '../../../src/telemetry/stream-info.ts'
import { runtimeOf } from '../routing/runtime.ts'
import { headers } from './contexts.ts'

/** Counts and timers without a clock: `fire` runs what is armed. */
class World {
  readonly counts = new Map<string, number>()
  readonly armed = new Set<TimerNode>()
  readonly said: string[] = []
  readonly services: WorkerServices

  constructor() {
    const timers: Timers = {
      arm: node => void this.armed.add(node),
      cancel: node => void this.armed.delete(node),
      suspend: node => void this.armed.delete(node),
      now: () => 5000,
    }
    const scope = (prefix: string): unknown => ({
      scope: (more: string) => scope(prefix + more),
      counter: (name: string) => ({ inc: () => this.counts.set(name, this.count(name) + 1) }),
    })
    const log = { error: (text: string) => void this.said.push(text) }
    this.services = {
      timers,
      stats: scope(''),
      runtime: runtimeOf({ limit: '400' }),
      random: { next: () => 42, next32: () => 42 },
      fileFlushInterval: 10_000,
      log: () => log,
    } as unknown as WorkerServices
  }

  count(name: string): number {
    return this.counts.get(name) ?? 0
  }

  fire(): void {
    const nodes = [...this.armed]
    this.armed.clear()
    for (const node of nodes) node.owner.onTimer(node.kind)
  }
}

/** Waits for what the thread pool does, by event-loop turns. */
async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 10_000 && !done(); i++) await new Promise(resolve => setImmediate(resolve))
}

t.test('lines wait for the flush timer, then go out in one write', async t => {
  const world = new World()
  const path = join(t.testdir(), 'a.log')
  const writer = new FileWriter(path, world.services)
  writer.append('one\n')
  writer.append('two \xe9\n')
  t.equal(readFileSync(path, 'latin1'), '')
  t.equal(world.armed.size, 1)
  world.fire()
  await until(() => world.count('write_completed') === 1)
  t.equal(readFileSync(path, 'latin1'), 'one\ntwo \xe9\n', 'bytes as they are')
  t.equal(world.count('write_buffered'), 2)
  t.equal(world.count('flushed_by_timer'), 1)
})

t.test('64 KB are written at once; lines that come meanwhile keep their order', async t => {
  const world = new World()
  const path = join(t.testdir(), 'a.log')
  const writer = new FileWriter(path, world.services)
  const line = `${'x'.repeat(1023)}\n`
  for (let i = 0; i < 130; i++) writer.append(line)
  writer.append('last\n')
  await until(() => world.count('write_completed') === 2)
  writer.flushNow()
  t.equal(readFileSync(path, 'latin1'), `${line.repeat(130)}last\n`)
})

t.test('reopen follows a renamed file', async t => {
  const world = new World()
  const dir = t.testdir()
  const path = join(dir, 'a.log')
  const writer = new FileWriter(path, world.services)
  writer.append('old\n')
  writer.flushNow()
  renameSync(path, join(dir, 'a.1'))
  writer.reopen()
  writer.append('new\n')
  writer.flushNow()
  t.equal(readFileSync(join(dir, 'a.1'), 'latin1'), 'old\n')
  t.equal(readFileSync(path, 'latin1'), 'new\n')
})

t.test('a missing directory is counted and said once, and never throws', t => {
  const world = new World()
  const writer = new FileWriter(join(t.testdir(), 'nope', 'a.log'), world.services)
  for (let i = 0; i < 5; i++) {
    writer.append('lost\n')
    world.fire()
  }
  t.equal(world.said.length, 1)
  t.ok(world.count('write_failed') >= 5)
  writer.reopen()
  writer.flushNow()
  t.end()
})

t.test('a disk that takes nothing does not eat the memory', t => {
  const world = new World()
  const writer = new FileWriter(join(t.testdir(), 'nope', 'a.log'), world.services)
  const line = 'x'.repeat(1024 * 1024)
  for (let i = 0; i < 20; i++) writer.append(line)
  t.ok(world.count('write_buffered') < 12)
  t.end()
})

const context = (info: StreamInfo, request = headers({})): FormatContext => ({
  info,
  requestHeaders: request,
  responseHeaders: null,
  responseTrailers: null,
  localReplyBody: '',
})

t.test('file logger: default format, checked path, one line per event', t => {
  const world = new World()
  const path = join(t.testdir(), 'a.log')
  const config = fileAccessLog.parse({ path }, FieldPath.root(), [])
  t.equal(config.format.text, DEFAULT_ACCESS_LOG_FORMAT)
  const writer = new FileWriter(path, world.services)
  const logger = new LineLogger(writer, { ...config.format, text: '%RESPONSE_CODE% %ACCESS_LOG_TYPE%\n' })
  logger.log(context(new StreamInfo()), 'DownstreamEnd')
  logger.log(context(new StreamInfo()), 'TcpConnectionEnd')
  writer.flushNow()
  t.equal(readFileSync(path, 'latin1'), '0 DownstreamEnd\n0 TcpConnectionEnd\n')
  t.throws(
    () => fileAccessLog.parse({ path: '/nope/dir/a.log' }, FieldPath.root(), []),
    new ConfigError(
      'CONFIG_RESOURCE',
      FieldPath.root().field('path'),
      "unable to open file '/nope/dir/a.log': No such file or directory",
    ),
  )
  t.end()
})

t.test('a line that does not fit behind the others, or into any buffer, is written all the same', async t => {
  const world = new World()
  const path = join(t.testdir(), 'a.log')
  const writer = new FileWriter(path, world.services)
  const format = compileFormat('%REQ(A)%\n')
  const requestHeaders = headers({})
  const context = {
    info: new StreamInfo(),
    requestHeaders,
    responseHeaders: null,
    responseTrailers: null,
    localReplyBody: '',
  }
  const lines = [10, 60_000, 30_000, 200_000, 5].map((length, i) => String(i).repeat(length))
  for (const line of lines) {
    requestHeaders.list = ['a', line]
    writer.appendFormatted(format, context)
  }
  await until(() => world.count('write_completed') === 1)
  writer.flushNow()
  await until(() => world.count('write_completed') === 2)
  t.equal(readFileSync(path, 'latin1'), lines.map(line => `${line}\n`).join(''))
  t.equal(world.count('write_buffered'), lines.length)
  t.end()
})

t.test('the default line', t => {
  const info = new StreamInfo()
  Object.assign(info, {
    startWall: Date.parse('2026-11-21T01:11:43.757Z'),
    start: 1000,
    end: 1000.4,
    protocol: 'HTTP/1.1',
    responseCode: 404,
  })
  info.setFlag(ResponseFlag.NoRouteFound)
  const request = headers({ method: 'GET', path: '/nothing', authority: 'lab.test:8080' }, [
    'x-forwarded-for',
    '192.0.2.2',
    'user-agent',
    'lab-agent/1.0',
    'x-request-id',
    'id',
  ])
  t.equal(
    compileFormat(DEFAULT_ACCESS_LOG_FORMAT).format(context(info, request)),
    '[2026-11-21T01:11:43.757Z] "GET /nothing HTTP/1.1" 404 NR 0 0 0 - "192.0.2.2" "lab-agent/1.0" "id" "lab.test:8080" "-"\n',
  )
  t.end()
})

type FilterProto = Parameters<typeof parseAccessLogFilter>[0]

function passes(proto: FilterProto, c: FormatContext, type: AccessLogType = 'DownstreamEnd'): boolean {
  const config = structuredClone(parseAccessLogFilter(proto, FieldPath.root()))
  return compileAccessLogFilter(config, new World().services).passes(c, type)
}

t.test('filters', t => {
  const info = new StreamInfo()
  Object.assign(info, { responseCode: 404, start: 1000, end: 1100, requestId: '0000000a-1' })
  const c = context(info, headers({ path: '/' }, ['x-a', 'b', 'user-agent', 'curl']))
  const status = (op: 'EQ' | 'GE' | 'LE' | 'NE', value: number, key?: string): FilterProto => ({
    status_code_filter: { comparison: { op, value: { default_value: value, runtime_key: key } } },
  })
  t.ok(passes(status('GE', 400), c))
  t.notOk(passes(status('GE', 500), c))
  t.ok(passes(status('GE', 500, 'limit'), c), 'runtime key')
  t.ok(passes(status('LE', 404), c))
  t.ok(passes(status('EQ', 404), c))
  t.notOk(passes(status('NE', 404), c))
  t.ok(passes({ duration_filter: { comparison: { op: 'GE', value: { default_value: 100 } } } }, c))
  t.notOk(passes({ duration_filter: { comparison: { op: 'GE', value: { default_value: 101 } } } }, c))
  t.ok(passes({ not_health_check_filter: {} }, c))
  t.notOk(passes({ not_health_check_filter: {} }, context(info, headers({}, ['user-agent', 'Envoy/HC']))))
  t.notOk(passes({ response_flag_filter: {} }, c))
  info.setFlag(ResponseFlag.NoRouteFound)
  t.ok(passes({ response_flag_filter: {} }, c))
  t.ok(passes({ response_flag_filter: { flags: ['NR', 'UH'] } }, c))
  t.notOk(passes({ response_flag_filter: { flags: ['UH'] } }, c))
  t.ok(passes({ header_filter: { header: { name: 'x-a', string_match: { exact: 'b' } } } }, c))
  t.ok(passes({ and_filter: { filters: [status('GE', 400), { not_health_check_filter: {} }] } }, c))
  t.notOk(passes({ and_filter: { filters: [status('GE', 500), { not_health_check_filter: {} }] } }, c))
  t.ok(passes({ or_filter: { filters: [status('GE', 500), { not_health_check_filter: {} }] } }, c))
  t.ok(passes({ grpc_status_filter: { statuses: ['UNIMPLEMENTED'] } }, c), '404 stands for UNIMPLEMENTED')
  t.notOk(passes({ grpc_status_filter: { statuses: ['UNIMPLEMENTED'], exclude: true } }, c))
  t.ok(passes({ log_type_filter: { types: ['DownstreamEnd'] } }, c))
  t.notOk(passes({ log_type_filter: { types: ['DownstreamEnd'], exclude: true } }, c))
  const sampled = (numerator: number): FilterProto => ({
    runtime_filter: { runtime_key: 'k', percent_sampled: { numerator, denominator: 'HUNDRED' } },
  })
  t.ok(passes(sampled(11), c), 'request id 0xa = 10 of 100')
  t.notOk(passes(sampled(10), c))
  info.dynamicMetadata = { ns: { k: 'v' } }
  const metadata = (exact: string, key = 'k'): FilterProto => ({
    metadata_filter: {
      matcher: { filter: 'ns', path: [{ key }], value: { string_match: { exact } } },
      match_if_key_not_found: false,
    },
  })
  t.ok(passes(metadata('v'), c))
  t.notOk(passes(metadata('w'), c))
  t.notOk(passes(metadata('v', 'missing'), c))
  t.throws(() => parseAccessLogFilter({ extension_filter: { name: 'cel' } }, FieldPath.root()), /not supported yet/)
  t.end()
})
