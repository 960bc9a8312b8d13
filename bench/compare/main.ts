import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { versionLine } from '../load/peers/find.ts'
import { packageRoot } from '../load/place.ts'
import { renderReport } from '../load/report/render.ts'
import { type Manner, serverName, usesHttp2, usesTls } from './client.ts'
import { type Binaries, compare, listenerFor } from './compare.ts'
import { type Configuration, readConfiguration } from './configuration.ts'
import { measure, type Work } from './measure.ts'
import { CompareError, type CompareOptions, parseOptions, USAGE } from './options.ts'
import { readResourceSet } from './resources.ts'
import type { Comparison } from './result.ts'
import type { RewrittenListener } from './rewrite-listener.ts'
import { comparisonSection } from './section.ts'
import { measurementText, pushText, requestText, summaryText } from './text.ts'
import { readTrace, type Trace } from './trace.ts'

/** `remora compare`. Resolves to the exit status: 0 equal, 1 differences, 2 not compared. */
export async function compareMain(argv: readonly string[]): Promise<number> {
  try {
    const options = parseOptions(argv, process.env)
    if (options === null) {
      process.stdout.write(USAGE)
      return 0
    }
    return await run(options, argv)
  } catch (error) {
    if (!(error instanceof CompareError)) throw error
    process.stderr.write(`Error: ${error.message}\n`)
    return 2
  }
}

async function run(options: CompareOptions, argv: readonly string[]): Promise<number> {
  const startedAt = new Date().toISOString()
  const sets = options.resources.map(readResourceSet)
  const config = readConfiguration(read(options.config), options.config, sets, options.without)
  const trace = readTrace(read(options.trace), options.trace, options.limit)
  const binaries = {
    envoy: options.envoy,
    remora: options.remora === '' ? join(packageRoot, 'bin/envoy') : options.remora,
  }
  const versions = { envoy: versionOf(binaries.envoy), remora: versionOf(binaries.remora) }
  // With --json nothing else may be on standard output.
  const say = (text: string): void => void (options.json ? process.stderr : process.stdout).write(`${text}\n`)
  const commandLine = ['remora', 'compare', ...argv].join(' ')
  const facts = { startedAt, commandLine, versions }
  const identity = identityOf(options, config)
  const { comparison, listeners } = await compare(config, trace, options, identity, binaries, facts, {
    push: done => done.differences.length > 0 && say(pushText(done)),
    request: done => done.differences.length > 0 && say(requestText(done)),
  })
  say(summaryText(comparison))
  const needsReport = options.html !== '' || options.measures
  const report = needsReport
    ? await measure(comparison, options, binaries, workOf(config, trace, listeners, identity, options.http2), say)
    : null
  for (const one of report?.cases ?? []) say(measurementText(one))
  if (report !== null && options.html !== '') {
    const first = { id: 'comparison', name: 'Comparison', body: comparisonSection(comparison) }
    write(options.html, renderReport(report, { title: 'Remora and Envoy compared', first }))
    say(options.html)
  }
  if (options.json) process.stdout.write(`${JSON.stringify(withMeasurement(comparison, report), null, 1)}\n`)
  return comparison.equal ? 0 : 1
}

function withMeasurement(comparison: Comparison, report: Awaited<ReturnType<typeof measure>> | null): object {
  return { ...comparison, measurement: report?.cases.length === 0 ? null : report }
}

/** The requests of the listener that most of them go to, of one version of HTTP, without TLS or with it and one server name. */
function workOf(
  config: Configuration,
  trace: Trace,
  listeners: readonly RewrittenListener[],
  identity: Manner['identity'],
  wanted: boolean,
): Work | null {
  const byManner = new Map<string, Work & { entries: Trace['entries'][number][] }>()
  for (const entry of trace.entries) {
    const place = listeners[listenerFor(entry, listeners)]!
    const [http2, tls] = [usesHttp2(entry, place, wanted), usesTls(entry, place)]
    const name = tls ? serverName(entry) : ''
    const key = `${place.purpose} ${http2} ${tls} ${name}`
    const how = { http2, tls, serverName: name, identity }
    const work = byManner.get(key) ?? { config, entries: [], total: trace.entries.length, place, ...how }
    work.entries.push(entry)
    byManner.set(key, work)
  }
  return [...byManner.values()].sort((a, b) => b.entries.length - a.entries.length)[0] ?? null
}

/** The user's certificate; else that which compare made, when it made what listeners verify with. */
function identityOf({ clientCert, clientKey }: CompareOptions, config: Configuration): Manner['identity'] {
  return clientCert === '' ? config.identity : { cert: read(clientCert), key: read(clientKey) }
}

function versionOf(binary: Binaries['envoy']): string {
  const line = versionLine([binary, '--version'])
  if (line === null) throw new CompareError(`${binary}: cannot be run`)
  return line
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new CompareError((error as Error).message)
  }
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text)
  } catch (error) {
    throw new CompareError((error as Error).message)
  }
}
