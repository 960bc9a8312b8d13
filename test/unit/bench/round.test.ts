import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { countLines, emptyLog, untilLogged } from '../../../bench/load/checks/access-log.ts'
import { grpcMessage } from '../../../bench/load/checks/grpc.ts'
import { figure } from '../../../bench/load/output/figures.ts'
import { bar } from '../../../bench/load/output/progress.ts'
import { roundValue } from '../../../bench/load/runner/round.ts'

const sample = { seconds: 2, count: 100, errors: 0, bytes: 4096, value: 7 }

t.test('the value of a round is operations or bytes by CPU seconds of the proxy, or the case’s own', async t => {
  t.equal(roundValue({ value: 'operations-per-cpu-second' }, sample, 0.5), 200)
  t.equal(roundValue({ value: 'bytes-per-cpu-second' }, sample, 0.5), 8192)
  t.equal(roundValue({ value: 'own' }, sample, 0.5), 7)
})

t.test('less CPU than one tick of the system counts as one tick', async t => {
  t.equal(roundValue({ value: 'operations-per-cpu-second' }, sample, 0), 10_000)
})

t.test('lines of an access log are counted, found, and gone when it is emptied under its writer', async t => {
  const log = join(t.testdir(), 'access.log')
  t.equal(countLines(log), 0)
  writeFileSync(log, 'one\ntwo /check\nthree')
  t.equal(countLines(log), 2)
  t.equal(await untilLogged(log, '/check', 0), 'two /check')
  t.equal(await untilLogged(log, '/other', 0), null)
  emptyLog(log)
  appendFileSync(log, 'four\n')
  t.equal(countLines(log), 1)
})

t.test('a gRPC message has a flag and four bytes of length before it', async t => {
  t.same([...grpcMessage(Buffer.from('ab'))], [0, 0, 0, 0, 2, 97, 98])
})

t.test('the bar never leaves its frame', async t => {
  t.match(bar(2), /^\[#{30}\] 100 %$/)
  t.match(bar(-1), /^\[-{30}\] {3}0 %$/)
})

t.test('figures have the prefix that fits', async t => {
  t.equal(figure(1536, 'B'), '1.5 KiB')
  t.equal(figure(3 * 1024 ** 3, 'B/CPU-s'), '3.00 GiB/CPU-s')
  t.equal(figure(12345.6, 'req/CPU-s'), '12,346')
  t.equal(figure(1.234, 'ms'), '1.23')
})
