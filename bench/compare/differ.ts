import type { Attempt, Difference, Exchange, StatComparison } from './result.ts'

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

/** By name, without regard to order; values of one name in theirs. */
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
  return out
}

function byName(lines: readonly string[]): Map<string, string[]> {
  const fields = new Map<string, string[]>()
  for (const line of lines) {
    const colon = line.indexOf(':', 1)
    const name = colon < 0 ? line : line.slice(0, colon)
    const values = fields.get(name)
    const value = colon < 0 ? '' : line.slice(colon + 1).trim()
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

export function differStats(
  envoy: { before: Stats; after: Stats },
  remora: { before: Stats; after: Stats },
): StatComparison {
  const own = [...envoy.after.names].filter(name => COMPARED.test(name))
  const other = [...remora.after.names].filter(name => COMPARED.test(name))
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
