import { runHttp2Corpus } from './http2-smuggling.ts'
import { runRequestCorpus } from './request-smuggling.ts'
import { runResponseCorpus } from './response-smuggling.ts'

/** Corpora whose outcomes with the real Envoy are recorded in `<name>.json`. */
export const corpora: Readonly<Record<string, (command?: string) => Promise<Map<string, string>>>> = {
  'request-smuggling': runRequestCorpus,
  'response-smuggling': runResponseCorpus,
  'http2-smuggling': runHttp2Corpus,
}
