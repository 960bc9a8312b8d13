import { runHttp2Corpus } from './http2-smuggling.ts'
import { runRefusedEarly } from './refused-early.ts'
import { runRequestCorpus } from './request-smuggling.ts'
import { runResponseCorpus } from './response-smuggling.ts'

export interface CorpusRun {
  /** Another envoy than `bin/envoy`. */
  readonly command?: string | undefined
  /** Names of cases; default all. */
  readonly only?: ReadonlySet<string>
  /** How much longer than on an idle machine silence must last before it means that nothing more comes; default 1. */
  readonly patience?: number
}

/** Corpora whose outcomes with the real Envoy are recorded in `<name>.json`. */
export const corpora: Readonly<Record<string, (run?: CorpusRun) => Promise<Map<string, string>>>> = {
  'request-smuggling': runRequestCorpus,
  'response-smuggling': runResponseCorpus,
  'http2-smuggling': runHttp2Corpus,
  'refused-early': runRefusedEarly,
}
