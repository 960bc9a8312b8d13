/** The two text formats of Prometheus: what an application may be asked for, and what the joined page is declared as. */
export const TEXT_FORMAT = 'text/plain; version=0.0.4; charset=utf-8'

const OPEN_METRICS = 'application/openmetrics-text'
/** What an application may answer; protobuf cannot be joined with text. */
const ALLOWED = new Set(['text/*', 'text/plain', OPEN_METRICS])
const PLAIN = 'text/plain;version=0.0.4'
const EOF = Buffer.from('# EOF')

interface Offer {
  readonly type: string
  readonly parameters: ReadonlyMap<string, string>
}

/** The Accept header for the application: the scraper's without what cannot be joined (status/server.go, allowedContentTypes). */
export function acceptedFormats(accept: string | undefined): string {
  const taken = new Map<string, Offer>()
  for (const piece of (accept ?? '').split(',')) {
    const offer = parseOffer(piece)
    if (offer === null) return PLAIN
    const known = widened(offer)
    if (!ALLOWED.has(known.type)) continue
    const key = `${known.type};${[...known.parameters].sort().join(';')}`
    if (!taken.has(key)) taken.set(key, known)
  }
  if (taken.size === 0) return PLAIN
  return [...taken.values()].map((offer, i) => print(offer, `0.${taken.size - i}`)).join(',')
}

/** The Content-Type of the joined page, by that of the application's (negotiateMetricsFormat). */
export function pageFormat(contentType: string | undefined): string {
  const offer = parseOffer(contentType ?? '')
  if (offer?.type !== OPEN_METRICS) return TEXT_FORMAT
  const version = offer.parameters.get('version') ?? '0.0.1'
  return version === '1.0.0' || version === '0.0.1' ? `${OPEN_METRICS}; version=${version}; charset=utf-8` : TEXT_FORMAT
}

/** Pages of several targets: only the end of all may say that it is the end. `formats` are those of `bodies`. */
export function joinPages(
  bodies: readonly Buffer[],
  formats: readonly string[],
): { readonly format: string; readonly pages: Buffer[] } {
  const first = formats[0] ?? TEXT_FORMAT
  // Text in a page that claims to be OpenMetrics, or the reverse, is invalid: text then.
  const format = formats.every(f => f === first) ? first : TEXT_FORMAT
  const pages: Buffer[] = []
  for (const body of bodies) {
    const page = withoutEnd(body)
    if (page.length > 0) pages.push(page.at(-1) === 10 ? page : Buffer.concat([page, Buffer.from('\n')]))
  }
  if (format.startsWith(OPEN_METRICS)) pages.push(Buffer.from('# EOF\n'))
  return { format, pages }
}

function withoutEnd(body: Buffer): Buffer {
  let end = body.length
  while (end > 0 && (body[end - 1] as number) <= 32) end--
  const start = end - EOF.length
  return start >= 0 && body.subarray(start, end).equals(EOF) ? body.subarray(0, start) : body
}

/** Any type at all is answered with the simplest text. */
function widened(offer: Offer): Offer {
  if (offer.type === '*/*' || offer.type === '*')
    return { type: 'text/plain', parameters: new Map([['version', '0.0.4']]) }
  if (offer.type === 'application/*') return { type: OPEN_METRICS, parameters: new Map([['version', '0.0.1']]) }
  return offer
}

/** Null: not a media type. Quality is left out: order counts. */
function parseOffer(text: string): Offer | null {
  const [type = '', ...rest] = text.split(';').map(part => part.trim())
  if (!/^[\w!#$&^.+*-]+(\/[\w!#$&^.+*-]+)?$/.test(type)) return null
  const parameters = new Map<string, string>()
  for (const part of rest) {
    if (part === '') continue
    const mark = part.indexOf('=')
    if (mark < 1) return null
    const name = part.slice(0, mark).trim().toLowerCase()
    const value = part.slice(mark + 1).trim()
    if (name !== 'q') parameters.set(name, value.replace(/^"(.*)"$/, '$1'))
  }
  return { type: type.toLowerCase(), parameters }
}

function print({ type, parameters }: Offer, quality: string): string {
  const all = [...parameters, ['q', quality] as const].sort(([a], [b]) => (a < b ? -1 : 1))
  return [
    type,
    ...all.map(([name, value]) => `${name}=${/^[\w!#$%&'*+.^`|~-]+$/.test(value) ? value : JSON.stringify(value)}`),
  ].join('; ')
}
