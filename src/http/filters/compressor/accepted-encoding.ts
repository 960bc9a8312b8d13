/** What decided. */
export const Decision = { Compressor: 0, Identity: 1, Wildcard: 2, NotValid: 3 } as const
export type Decision = (typeof Decision)[keyof typeof Decision]

export interface EncodingChoice {
  /** 'identity' = the body stays as it is. */
  readonly encoding: string
  readonly decision: Decision
}

/** An encoding that this response may have. */
export interface OfferedEncoding {
  readonly encoding: string
  /** Wins against another of the same q that the client named before. */
  readonly chooseFirst: boolean
}

const NOT_VALID: EncodingChoice = { encoding: 'identity', decision: Decision.NotValid }

/**
 * Chooses by the client's accept-encoding: the highest q wins, the first of equals (CompressorFilter::chooseEncoding).
 * `offered`: in the order of the filters.
 */
export function chooseEncoding(accept: string, offered: readonly OfferedEncoding[]): EncodingChoice {
  const allowed = new Map<string, boolean>()
  for (const { encoding, chooseFirst } of offered) if (!allowed.has(encoding)) allowed.set(encoding, chooseFirst)
  const pairs: [encoding: string, q: number][] = []
  for (const token of accept.split(',')) {
    if (token === '') continue
    const semicolon = token.indexOf(';')
    const encoding = (semicolon < 0 ? token : token.slice(0, semicolon)).trim()
    const q = qualityOf(semicolon < 0 ? '' : token.slice(semicolon + 1))
    if (Number.isNaN(q)) continue
    pairs.push([encoding, q])
    // Kept in the list as well: "*" after "gzip;q=0" must not mean gzip.
    if (q === 0) allowed.delete(encoding)
  }
  if (allowed.size === 0) return NOT_VALID
  let chosen = 'identity'
  let best = 0
  for (const [encoding, q] of pairs) {
    if (encoding !== 'identity' && encoding !== '*' && !allowed.has(encoding)) continue
    if (q > best || (q === best && allowed.get(encoding) === true)) {
      chosen = encoding
      best = q
    }
  }
  if (best === 0) return NOT_VALID
  if (chosen === 'identity') return { encoding: chosen, decision: Decision.Identity }
  if (chosen === '*') return { encoding: allowed.keys().next().value!, decision: Decision.Wildcard }
  return { encoding: chosen, decision: Decision.Compressor }
}

/** Of `q=0.5`; 1 when it is another parameter; NaN when it is no number. */
function qualityOf(parameter: string): number {
  const equal = parameter.indexOf('=')
  if (equal < 0 || parameter.slice(0, equal).trim().toLowerCase() !== 'q') return 1
  const text = parameter.slice(equal + 1).trim()
  return text === '' ? Number.NaN : Number(text)
}
