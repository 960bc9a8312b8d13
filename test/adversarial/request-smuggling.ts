import { RunningProxy } from '../integration/proxy/running-proxy.ts'
import type { CorpusRun } from './corpora.ts'
import { exchange, summary } from './exchange.ts'
import { RecordingUpstream } from './recording-upstream.ts'
import { requestCorpus } from './request-corpus.ts'

/** Cases at once: enough to be quick, few enough that quiet means done. */
const BATCH = 40

/** Sends the corpus through a proxy: name of the case → `statuses, open or close | requests the upstream got`. */
export async function runRequestCorpus({ command, only, patience = 1 }: CorpusRun = {}): Promise<Map<string, string>> {
  const cases = requestCorpus.filter(one => only?.has(one.name) !== false)
  const upstream = await RecordingUpstream.start()
  const proxy = await RunningProxy.start({
    upstream: upstream.port,
    // The real Envoy waits this long for the peer to close first.
    manager: 'delayed_close_timeout: 0.05s',
    ...(command === undefined ? {} : { command }),
  })
  const outcomes = new Map<string, string>()
  try {
    for (let from = 0; from < cases.length; from += BATCH) {
      const batch = cases.slice(from, from + BATCH)
      const seen = await Promise.all(batch.map(one => exchange(proxy.port, one.input, 400 * patience)))
      batch.forEach((one, i) => {
        const requests = upstream.requests.filter(line => line.includes(one.path))
        const text = [summary(seen[i]!), ...requests].join(' | ').replaceAll(one.path, '@')
        outcomes.set(one.name, text)
      })
    }
    for (const line of upstream.requests) {
      if (!/ \/?(.*\/)?c\d{3}/.test(line)) outcomes.set(`a request of no case: ${line}`, line)
    }
    for (const text of upstream.leftovers) outcomes.set(`bytes that form no request: ${JSON.stringify(text)}`, text)
  } finally {
    await proxy.stop()
    await upstream.stop()
  }
  return outcomes
}
