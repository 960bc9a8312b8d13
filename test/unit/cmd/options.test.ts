import t from 'tap'
import { LogLevel } from '../../../src/base/log.ts'
import { type EnvoyOptions, parseCommandLine } from '../../../src/cmd/options.ts'

const run = (...argv: string[]): EnvoyOptions => {
  const line = parseCommandLine(argv, 'envoy')
  if (line.kind !== 'run') throw new Error(line.stderr)
  return line.options
}
const refused = (...argv: string[]): string => {
  const line = parseCommandLine(argv, 'envoy')
  return line.kind === 'exit' && line.code === 1 ? line.stderr : ''
}

t.test('defaults are those of Envoy', async t => {
  const options = run()
  t.equal(options.mode, 'serve')
  t.equal(options.drainTime, 600)
  t.equal(options.drainStrategy, 'gradual')
  t.equal(options.fileFlushInterval, 10_000)
  t.equal(options.logLevel, LogLevel.info)
  t.ok(options.concurrency >= 1)
})

t.test('a concurrency of 0 is 1', async t => {
  t.equal(run('--concurrency', '0').concurrency, 1)
})

t.test('what the agent of Istio passes is understood', async t => {
  const options = run(
    '-c',
    '/etc/istio/proxy/envoy-rev.json',
    '--drain-time-s',
    '45',
    '--drain-strategy',
    'immediate',
    '--local-address-ip-version',
    'v4',
    '--file-flush-interval-msec',
    '1000',
    '--disable-hot-restart',
    '--allow-unknown-static-fields',
    '-l',
    'warning',
    '--component-log-level',
    'misc:error',
    '--skip-deprecated-logs',
    '--concurrency',
    '2',
  )
  t.equal(options.configPath, '/etc/istio/proxy/envoy-rev.json')
  t.equal(options.drainStrategy, 'immediate')
  t.equal(options.logLevel, LogLevel.warning)
  t.strictSame(options.componentLogLevels, [['misc', LogLevel.error]])
  t.equal(options.concurrency, 2)
  t.strictSame(options.warnings, [])
})

t.test('an unknown flag, --flag=value and -cvalue are parse errors in the words of TCLAP', async t => {
  for (const argument of ['--nope', '--concurrency=2', '-ldebug', 'stray']) {
    const text = refused(argument)
    t.ok(
      text.startsWith(
        `PARSE ERROR: Argument: ${argument}\n             Couldn't find match for argument\n\nBrief USAGE: \n`,
      ),
    )
    t.ok(text.endsWith(`\n${argument} -- Couldn't find match for argument\n`))
  }
})

t.test('a missing value, a second value and a value that is no number are parse errors', async t => {
  t.match(refused('-c'), 'Argument: -c (--config-path)\n             Missing a value for this argument!')
  t.match(refused('-c', 'a', '-c', 'b'), 'Argument: -c (--config-path)\n             Argument already set!')
  t.match(
    refused('--concurrency', 'x'),
    "Argument: (--concurrency)\n             Couldn't read argument value from string 'x'",
  )
})

t.test('values that make no sense are named as Envoy names them', async t => {
  t.equal(refused('--mode', 'bogus'), "error: unknown mode 'bogus'\n")
  t.equal(refused('-l', 'bogus'), "error: invalid log level specified 'bogus'\n")
  t.equal(refused('--component-log-level', 'nope:debug'), "error: invalid component specified 'nope'\n")
  t.equal(refused('--component-log-level', 'http:nope'), "error: invalid log level specified 'nope'\n")
  t.equal(refused('--local-address-ip-version', 'v5'), "error: unknown IP address version 'v5'\n")
  t.equal(refused('--stats-tag', 'nocolon'), "error: misformatted stats-tag 'nocolon'\n")
  // Envoy prints the mode here; scripts may match it.
  t.equal(refused('--drain-strategy', 'bogus'), "error: unknown drain-strategy 'serve'\n")
})

t.test('--version and --hot-restart-version print and leave', async t => {
  const version = parseCommandLine(['--version'], 'envoy')
  t.match(version, {
    kind: 'exit',
    code: 0,
    stdout: /^\nenvoy {2}version: [0-9a-f]{40}\/1\.40\.0\/Clean\/RELEASE\/BoringSSL\n\n$/,
  })
  t.match(parseCommandLine(['--hot-restart-version'], 'envoy'), { code: 0, stdout: '11.104' })
  t.match(parseCommandLine(['--disable-hot-restart', '--hot-restart-version'], 'envoy'), { stdout: 'disabled' })
})

t.test('a flag that has no effect here says so', async t => {
  t.match(run('--enable-mutex-tracing').warnings, [/^--enable-mutex-tracing has no effect/])
  t.match(run('--restart-epoch', '1').warnings, [/hot restart is not supported yet/])
})
