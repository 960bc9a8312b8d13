import type { Attempt, Difference, Exchange, StatComparison, TypeAnswer } from './result.ts'

/** Everything in which two exchanges differ; empty when they agree. */
export function differ(envoy: Exchange, remora: Exchange): Difference[] {
  const out: Difference[] = []
  const compare = (aspect: Difference['aspect'], what: string, a: string, b: string): void => {
    if (a !== b) out.push({ aspect, what, envoy: a, remora: b })
  }
  compare('status', '', envoy.status, remora.status)
  out.push(...differHeaders('headers', '', envoy.headers, remora.headers))
  out.push(...differHeaders('headers', 'trailer ', envoy.trailers, remora.trailers))
  compare('body', '', envoy.body, remora.body)
  compare('connection', '', envoy.connection, remora.connection)
  for (const name of new Set([...Object.keys(envoy.log), ...Object.keys(remora.log)])) {
    const aspect = name === 'flags' ? 'flags' : name === 'details' ? 'details' : 'log'
    compare(aspect, aspect === 'log' ? name : '', envoy.log[name] ?? 'no line', remora.log[name] ?? 'no line')
  }
  if (envoy.attempts.length !== remora.attempts.length) {
    compare('attempts', 'number', String(envoy.attempts.length), String(remora.attempts.length))
    return out
  }
  envoy.attempts.forEach((attempt, i) => {
    out.push(...differAttempt(attempt, remora.attempts[i]!, `${i + 1}`))
  })
  return out
}

function differAttempt(envoy: Attempt, remora: Attempt, number: string): Difference[] {
  const out: Difference[] = []
  for (const part of ['cluster', 'protocol', 'body', 'end'] as const) {
    if (envoy[part] !== remora[part])
      out.push({ aspect: 'attempts', what: `${number} ${part}`, envoy: envoy[part], remora: remora[part] })
  }
  // The first line of HTTP/1.1 is the request line.
  const skip = envoy.protocol === 'HTTP/1.1' && remora.protocol === 'HTTP/1.1' ? 1 : 0
  if (skip === 1 && envoy.head[0] !== remora.head[0]) {
    out.push({
      aspect: 'attempts',
      what: `${number} request line`,
      envoy: envoy.head[0] ?? '',
      remora: remora.head[0] ?? '',
    })
  }
  out.push(...differHeaders('attempts', `${number} `, envoy.head.slice(skip), remora.head.slice(skip)))
  return out
}

/** Everything in which two answers to one push differ; empty when they agree. */
export function differAnswers(envoy: readonly TypeAnswer[], remora: readonly TypeAnswer[]): Difference[] {
  const out: Difference[] = []
  for (const type of new Set([...envoy, ...remora].map(answer => answer.type))) {
    const [a, b] = [envoy, remora].map(side => answerText(side.find(answer => answer.type === type)))
    if (a !== b) out.push({ aspect: 'push', what: type, envoy: a!, remora: b! })
  }
  return out
}

/** What became of what was sent: one NACK counts. */
export function verdictOf({ rejections, answered }: TypeAnswer): 'ACK' | 'NACK' | 'no answer' {
  if (rejections.length > 0) return 'NACK'
  return answered ? 'ACK' : 'no answer'
}

function answerText(answer: TypeAnswer | undefined): string {
  if (answer === undefined) return 'not asked for'
  const { names, absent, rejections } = answer
  const why = rejections.length === 0 ? '' : `: ${rejections.join('; ')}`
  const missing = absent.length === 0 ? '' : `; in vain: ${absent.join(', ')}`
  return `${verdictOf(answer)}${why}; got ${names.length}: ${names.join(', ')}${missing}`
}

/** By name, values of one name in their order; then the order of the names that both have equally often. */
function differHeaders(
  aspect: Difference['aspect'],
  prefix: string,
  envoy: readonly string[],
  remora: readonly string[],
): Difference[] {
  const a = byName(envoy)
  const b = byName(remora)
  const out: Difference[] = []
  for (const name of new Set([...a.keys(), ...b.keys()])) {
    const [own, other] = [a.get(name)?.join(', ') ?? 'not there', b.get(name)?.join(', ') ?? 'not there']
    if (own !== other) out.push({ aspect, what: `${prefix}${name}`, envoy: own, remora: other })
  }
  const isCommon = (name: string): boolean => a.get(name)?.length === b.get(name)?.length
  const [own, other] = [orderOf(envoy, isCommon), orderOf(remora, isCommon)]
  if (own !== other) out.push({ aspect, what: `${prefix}order`, envoy: own, remora: other })
  return out
}

function orderOf(lines: readonly string[], isCommon: (name: string) => boolean): string {
  return lines.map(nameOf).filter(isCommon).join(', ')
}

function nameOf(line: string): string {
  const colon = line.indexOf(':', 1)
  return colon < 0 ? line : line.slice(0, colon)
}

function byName(lines: readonly string[]): Map<string, string[]> {
  const fields = new Map<string, string[]>()
  for (const line of lines) {
    const name = nameOf(line)
    const values = fields.get(name)
    const value = line.slice(name.length + 1).trim()
    if (values === undefined) fields.set(name, [value])
    else values.push(value)
  }
  return fields
}

export interface Stats {
  readonly names: ReadonlySet<string>
  readonly counters: ReadonlyMap<string, number>
}

/** Families that a configuration brings forth; those of the process, its runtime and its build are nobody's contract. */
const COMPARED = /^(cluster|http|listener|tcp|vhost|tls_inspector|access_logs|local_ratelimit|ext_authz|redis|mongo)\./
/** Grow with time, bytes, or how a connection happens to be kept. */
const BY_CHANCE =
  /(_bytes|_cx_|_ms$|_time$|lb_recalculate|update_|membership|flow_control|max_host_weight|\.ssl\.|no_filter|health_check\.|dropped|write_|reopen|flushed|admin\.)/

/** `foreign`: what names begin with that are not compared. */
export function differStats(
  envoy: { before: Stats; after: Stats },
  remora: { before: Stats; after: Stats },
  foreign: readonly string[],
): StatComparison {
  const isCompared = (name: string): boolean => COMPARED.test(name) && !foreign.some(start => name.startsWith(start))
  const own = [...envoy.after.names].filter(isCompared)
  const other = [...remora.after.names].filter(isCompared)
  const grown = (side: { before: Stats; after: Stats }, name: string): number =>
    (side.after.counters.get(name) ?? 0) - (side.before.counters.get(name) ?? 0)
  const common = own.filter(name => remora.after.names.has(name))
  return {
    onlyEnvoy: own.filter(name => !remora.after.names.has(name)).sort(),
    onlyRemora: other.filter(name => !envoy.after.names.has(name)).sort(),
    counts: common
      .filter(name => !BY_CHANCE.test(name) && grown(envoy, name) !== grown(remora, name))
      .map(name => ({ name, envoy: grown(envoy, name), remora: grown(remora, name) }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
    common: common.length,
  }
}
