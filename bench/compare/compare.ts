import { Ports } from '../load/ports.ts'
import { differ, differStats } from './differ.ts'
import type { JsonObject } from './json.ts'
import { NORMALISATION } from './normalise.ts'
import { CompareError, type CompareOptions } from './options.ts'
import type { Comparison, RequestComparison } from './result.ts'
import type { RewrittenListener } from './rewrite.ts'
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
  config: JsonObject,
  trace: Trace,
  options: CompareOptions,
  binaries: Binaries,
  facts: { readonly startedAt: string; readonly commandLine: string; readonly versions: Binaries },
  onRequest: (done: RequestComparison) => void,
): Promise<{ comparison: Comparison; listeners: readonly RewrittenListener[] }> {
  const free = new Ports(options.firstPort)
  const first = trace.entries[0]!
  const sides: Side[] = []
  const stop = (): void => {
    void Promise.all(sides.map(side => side.stop())).finally(() => process.exit(130))
  }
  process.once('SIGINT', stop).once('SIGTERM', stop)
  try {
    const start = { first, realUpstreams: options.realUpstreams, free }
    const envoy = await Side.start('Envoy', binaries.envoy, config, start)
    sides.push(envoy)
    const remora = await Side.start('Remora', binaries.remora, config, start)
    sides.push(remora)
    const { listeners } = envoy.rewritten
    if (listeners.length === 0) throw new CompareError(`${options.config}: no listener that takes requests`)
    const before = await Promise.all([envoy.stats(), remora.stats()])
    const requests: RequestComparison[] = []
    for (const [i, entry] of trace.entries.entries()) {
      const index = listenerFor(entry, listeners)
      const [a, b] = await Promise.all(sides.map(side => side.play(entry, index, options.timeoutSeconds)))
      const { method, url } = entry
      const done = { number: i + 1, method, url: url.href, envoy: a!, remora: b!, differences: differ(a!, b!) }
      requests.push(done)
      onRequest(done)
    }
    await new Promise(resolve => setTimeout(resolve, SETTLE_MS))
    const after = await Promise.all([envoy.stats(), remora.stats()])
    const stats = differStats({ before: before[0], after: after[0] }, { before: before[1], after: after[1] })
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
      equal: sameStats && requests.every(request => request.differences.length === 0),
      requests,
      stats,
      notes: [...trace.notes, ...envoy.rewritten.notes],
      normalisation: NORMALISATION,
    }
    return { comparison, listeners }
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop)
    await Promise.all(sides.map(side => side.stop()))
  }
}

/** The listener whose port the URL names; else the first that speaks what the URL speaks; else the first. */
export function listenerFor(entry: TraceEntry, listeners: readonly RewrittenListener[]): number {
  const tls = entry.url.protocol === 'https:'
  const port = entry.url.port === '' ? (tls ? 443 : 80) : Number(entry.url.port)
  const exact = listeners.findIndex(listener => listener.originalPort === port)
  if (exact >= 0) return exact
  return Math.max(
    0,
    listeners.findIndex(listener => listener.tls === tls),
  )
}
