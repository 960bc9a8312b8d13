import t from 'tap'
import { loggingHandler } from '../../../src/admin/logging.ts'
import { LogLevel, LogLevels } from '../../../src/base/log.ts'
import { ask } from './fakes.ts'
import { recorded } from './recorded.ts'

function made() {
  const levels = new LogLevels()
  let changes = 0
  const handler = loggingHandler(levels, () => changes++)
  return { levels, handler, changes: () => changes }
}

t.test('without parameters it lists the loggers', async t => {
  const { handler, changes } = made()
  t.equal((await ask(handler, '/logging')).body, recorded('logging').body)
  t.equal((await ask(handler, '/logging?level=')).body, recorded('logging').body)
  t.equal(changes(), 0)
})

t.test('level sets all, also those set on their own before', async t => {
  const { handler, levels, changes } = made()
  await ask(handler, '/logging?http=trace')
  t.match((await ask(handler, '/logging?level=error')).body, /^ {2}http: error$/m)
  t.equal(levels.of('http'), LogLevel.error)
  t.equal(changes(), 2)
})

t.test('paths and names set single loggers', async t => {
  const { handler, levels } = made()
  await ask(handler, '/logging?paths=http:debug,upstream:trace')
  await ask(handler, '/logging?router=off')
  t.equal(levels.of('http'), LogLevel.debug)
  t.equal(levels.of('upstream'), LogLevel.trace)
  t.equal(levels.of('router'), LogLevel.off)
  t.equal(levels.of('main'), LogLevel.info)
})

t.test('refusals carry usage and the list, and change nothing', async t => {
  for (const [target, error] of [
    ['/logging?level=bad', 'unknown logger level'],
    ['/logging?level=warn', 'unknown logger level'],
    ['/logging?http=bad', 'unknown logger level'],
    ['/logging?nope=debug', 'unknown logger name'],
    ['/logging?paths=http:debug,nope:debug', 'unknown logger name'],
    ['/logging?paths=http', 'empty logger name or empty logger level'],
    ['/logging?paths=http:info,:debug', 'empty logger name or empty logger level'],
    ['/logging?group=http:debug', 'group parameter requires fine-grain logging to be enabled'],
    ['/logging?level=info&paths=http:debug', 'invalid number of parameters'],
  ] as const) {
    const { handler, changes } = made()
    const answer = await ask(handler, target)
    t.equal(answer.status, 400, target)
    t.equal(answer.body.split('\n')[0], `error: ${error}`, target)
    t.equal(changes(), 0, target)
  }
  t.equal((await ask(made().handler, '/logging?level=bad')).body, recorded('logging-bad-level').body)
})

t.test('the form of the home page sends empty fields too', async t => {
  const { handler, levels } = made()
  t.equal((await ask(handler, '/logging?paths=&group=&level=debug')).status, 200)
  t.equal(levels.of('main'), LogLevel.debug)
  t.equal((await ask(handler, '/logging?paths=&group=&level=')).status, 200)
})
