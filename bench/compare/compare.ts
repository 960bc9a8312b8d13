import { Ports } from '../load/ports.ts'
import { Leftovers } from '../load/processes/leftovers.ts'
import { type Manner, usesHttp2 } from './client.ts'
import type { Configuration } from './configuration.ts'
import { differ, differAnswers, differStats } from './differ.ts'
import { NORMALISATION } from './normalise.ts'
import { CompareError, type CompareOptions } from './options.ts'
import type { Comparison, Exchange, PushComparison, RequestComparison } from './result.ts'
import type { RewrittenListener } from './rewrite-listener.ts'
import { Side } from './side.ts'
import type { Trace, TraceEntry } from './trace.ts'

/** Statistics of a connection are written when it is gone. */
const SETTLE_MS = 300

export interface Binaries {
  readonly envoy: string
  readonly remora: string
}

/**
 * Runs both proxies on copies of the configuration and plays the trace, one request after the other, each on both at the
 * same time. Throws CompareError.
 */
export async function compare(
  configuration: Configuration,
  trace: Trace,
  options: CompareOptions,
  identity: Manner['identity'],
  binaries: Binaries,
  facts: { readonly startedAt: string; readonly commandLine: string; readonly versions: Binaries },
  on: { push(done: PushComparison): unknown; request(done: RequestComparison): unknown },
): Promise<{ comparison: Comparison; listeners: readonly RewrittenListener[] }> {
  const free = new Ports(options.firstPort)
  const first = trace.entries[0]!
  const sides: Side[] = []
  const leftovers = new Leftovers()
  try {
    const start = { first, realUpstreams: options.realUpstreams, readySeconds: options.readySeconds, free, leftovers }
    const envoy = await Side.start('Envoy', binaries.envoy, configuration, start)
    sides.push(envoy)
    const remora = await Side.start('Remora', binaries.remora, configuration, start)
    sides.push(remora)
    const { listeners } = envoy.rewritten
    if (listeners.length === 0) throw new CompareError(`${options.config}: no listener that takes requests`)
    const pushes = envoy.answers.map((answers, i) => {
      const other = remora.answers[i]!
      const from = options.resources[i] ?? options.config
      const done = { number: i + 1, from, envoy: answers, remora: other, differences: differAnswers(answers, other) }
      on.push(done)
      return done
    })
    const before = await Promise.all([envoy.stats(), remora.stats()])
    const requests: RequestComparison[] = []
    const overruled = new Set<string>()
    for (const [i, entry] of trace.entries.entries()) {
      const index = listenerFor(entry, listeners)
      const { name, codec } = listeners[index]!
      const http2 = usesHttp2(entry, listeners[index]!, options.http2)
      if (http2 !== (options.http2 || entry.http2))
        overruled.add(`listener ${name}: requests as its codec_type ${codec} wants them`)
      const manner = { http2, timeoutSeconds: options.timeoutSeconds, identity }
      const [a, b] = await Promise.all(sides.map(side => side.play(entry, index, manner)))
      const { method, url } = entry
      const done = { number: i + 1, method, url: url.href, envoy: a!, remora: b!, differences: differ(a!, b!) }
      requests.push(done)
      on.request(done)
    }
    await new Promise(resolve => setTimeout(resolve, SETTLE_MS))
    const after = await Promise.all([envoy.stats(), remora.stats()])
    const stats = differStats(
      { before: before[0], after: after[0] },
      { before: before[1], after: after[1] },
      configuration.foreignStats,
    )
    const sameStats = stats.onlyEnvoy.length + stats.onlyRemora.length + stats.counts.length === 0
    const side = (of: Side, command: string, version: string) => ({
      command,
      version,
      configuration: of.rewritten.text,
    })
    const comparison: Comparison = {
      version: 1,
      startedAt: facts.startedAt,
      commandLine: facts.commandLine,
      configuration: options.config,
      trace: options.trace,
      sides: {
        envoy: side(envoy, binaries.envoy, facts.versions.envoy),
        remora: side(remora, binaries.remora, facts.versions.remora),
      },
      equal: sameStats && [...pushes, ...requests].every(one => one.differences.length === 0),
      pushes,
      requests,
      stats,
      notes: [...trace.notes, ...envoy.rewritten.notes, ...overruled, ...unanswered(requests)],
      normalisation: NORMALISATION,
    }
    return { comparison, listeners }
  } finally {
    await Promise.all(sides.map(side => side.stop()))
    await leftovers.release()
  }
}

/** That both say nothing is no agreement that anybody wants to hear about: the listener was rejected, or is not for such requests. */
function unanswered(requests: readonly RequestComparison[]): string[] {
  const silent = requests.filter(({ envoy, remora }) => isSilent(envoy) && isSilent(remora))
  const [first] = silent
  if (first === undefined) return []
  return [
    `${silent.length} of ${requests.length} requests were answered by neither, the first is ${first.number}. ${first.method} ${first.url}: ${first.envoy.status}`,
  ]
}

function isSilent({ status }: Exchange): boolean {
  return status.startsWith('no answer')
}

/**
 * The listener whose port the URL names, best one whose address it names too, and one with a connection manager before one
 * without; else the first that speaks what the URL speaks; else the first.
 */
export function listenerFor(entry: TraceEntry, listeners: readonly RewrittenListener[]): number {
  const { protocol, hostname } = entry.url
  const tls = protocol === 'https:'
  const port = entry.url.port === '' ? (tls ? 443 : 80) : Number(entry.url.port)
  const score = (listener: RewrittenListener): number =>
    (listener.originalPort === port ? 8 : 0) +
    (listener.originalAddress === hostname ? 4 : 0) +
    ((tls ? listener.tls : listener.plain) ? 2 : 0) +
    (listener.codec !== null ? 1 : 0)
  const scores = listeners.map(score)
  return scores.indexOf(Math.max(...scores))
}
