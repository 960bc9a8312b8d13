import { networkInterfaces } from 'node:os'
import type { ScenarioObservation, UpstreamSeen } from './observation.ts'

/** Of https://www.w3.org/TR/trace-context and https://github.com/openzipkin/b3-propagation. */
const EXAMPLES: ReadonlySet<string> = new Set([
  '4bf92f3577b34da6a3ce929d0e0e4736',
  '00f067aa0ba902b7',
  '463ac35c9f6413ad48485a3953bb6124',
  '48485a3953bb6124',
  'a2fb4a1d1a96d312',
  '05e3ac9a4f6e3b90',
])

const TRACE_ID =
  /(traceparent: 00-|x-b3-\w+: |b3: |"(?:traceId|parentId|id|trace_id|span_id|parent_span_id)":"|trace=|span=|(?<=traceparent: 00-[^ ]+)-|(?<=^b3: [^ ]+)-)([0-9a-f]{32}|[0-9a-f]{16})\b/g

/**
 * The only place where observed text is made comparable. Everything not named here is compared byte for byte.
 *
 * 1. HTTP dates of today and ISO timestamps become `{date}` and `{time}`. Scripted upstreams date their answers 1970,
 *    so a date that a proxy must pass through is still compared.
 * 2. Ports of the group become `{port:name}`, after an address (in stat names after `_`), in
 *    x-forwarded-port and as `port_value` of parsed JSON; any other port after a loopback address is a client's: `{ephemeral}`.
 * 3. UUIDs become `{uuid:1}`, `{uuid:2}` … in order of appearance within the scenario, so that equality is compared. A version digit
 *    that is not 4 stays, `{uuid:1/9}`: it says why a request is traced.
 * 4. `x-envoy-upstream-service-time` becomes `{ms}` (not `999`, which scripted upstreams send), and so do fields of the
 *    access log named `duration`, `…_duration` or `…_ms` `x-ratelimit-reset`
 *    values, and the two durations of the default access log format.
 * 5. `x-envoy-expected-rq-timeout-ms` of a retry (same x-request-id as an earlier request of the scenario) is the
 *    remaining time: `{remaining}`.
 * 6. The machine's own non-loopback IPv4 addresses become `{host-ip}` (use_remote_address appends it).
 * 7. The group's directory becomes `{tmp}`, the certificates' directory `{certs}`.
 * 8. `days_until_expiration` of /certs becomes `{days}`.
 * 9. Ids of traces and spans (in traceparent and B3 headers, reported spans, and as `trace=` and `span=` in the log) become `{id:1}`,
 *    `{id:2}` …; those of the specifications' examples stay. The SDK's language and version become `{sdk}`.
 * 10. Stats: byte totals become `{bytes}` unless 0, as they contain digits of durations.
 */
export class Normaliser {
  private readonly ports: ReadonlyMap<number, string>
  private readonly replacements: readonly (readonly [string, string])[]
  private readonly uuids = new Map<string, number>()
  private readonly ids = new Map<string, number>()

  constructor(ports: ReadonlyMap<number, string>, directories: Readonly<Record<string, string>>) {
    this.ports = ports
    const own: [string, string][] = []
    for (const addresses of Object.values(networkInterfaces())) {
      for (const { family, internal, address } of addresses ?? []) {
        if (family === 'IPv4' && !internal) own.push([address, '{host-ip}'])
      }
    }
    this.replacements = [
      ...Object.entries(directories).map(([name, path]): [string, string] => [path, `{${name}}`]),
      ...own,
    ]
  }

  scenario(observed: ScenarioObservation): ScenarioObservation {
    this.uuids.clear()
    this.ids.clear()
    const upstream = this.upstream(observed.upstream)
    return { ...this.deep(observed), upstream: this.deep(upstream), stats: normaliseStats(this.deep(observed.stats)) }
  }

  private upstream(seen: readonly UpstreamSeen[]): UpstreamSeen[] {
    const ids = new Set<string>()
    return seen.map(request => {
      const id = request.head.find(line => /^x-request-id: /i.test(line))
      const isRetry = id !== undefined && ids.has(id)
      if (id !== undefined) ids.add(id)
      if (!isRetry) return request
      const head = request.head.map(line => line.replace(/^(x-envoy-expected-rq-timeout-ms: )\d+$/i, '$1{remaining}'))
      return { ...request, head }
    })
  }

  private deep<T>(value: T): T {
    if (typeof value === 'string') return this.text(value) as T
    if (Array.isArray(value)) return value.map(item => this.deep(item)) as T
    if (value === null || typeof value !== 'object') return value
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [this.text(key), this.member(key, item)])) as T
  }

  private member(key: string, value: unknown): unknown {
    if (key === 'days_until_expiration') return '{days}'
    return key === 'port_value' && typeof value === 'number' ? this.port(value) : this.deep(value)
  }

  private text(value: string): string {
    let out = value
    for (const [found, name] of this.replacements) out = out.replaceAll(found, name)
    return out
      .replace(/\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} (?!1970)\d{4} \d\d:\d\d:\d\d GMT/g, '{date}')
      .replace(/\b(?!1970)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, '{time}')
      .replace(/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g, uuid => this.uuid(uuid))
      .replace(TRACE_ID, (found, before: string, id: string) => (EXAMPLES.has(id) ? found : before + this.id(id)))
      .replace(/("telemetry\.sdk\.(?:language|version)":\{"string_value":)"[^"]*"/g, '$1"{sdk}"')
      .replace(/^(x-envoy-upstream-service-time: )(?!999$)\d+$/i, '$1{ms}')
      .replace(/^(x-ratelimit-reset: )\d+$/i, '$1{seconds}')
      .replace(/\b(\w*duration|\w+_ms)(=|":"?)(-?)\d+/gi, '$1$2$3{ms}')
      .replace(/^(\[\{time\}\] ".*" \d+ \S+ \d+ \d+) \d+ (?:\d+|(-)) /, '$1 {ms} {ms}$2 ')
      .replace(/\b127\.0\.0\.1:(\d{4,5})\b/g, (_, port: string) => `127.0.0.1:${this.port(Number(port))}`)
      .replace(/\b127\.0\.0\.1_(\d{4,5})\b/g, (_, port: string) => `127.0.0.1_${this.port(Number(port))}`)
      .replace(/^(x-forwarded-port: )(\d{5})$/i, (_, name: string, port: string) => name + this.port(Number(port)))
      .replace(/\{host-ip\}:(\d{4,5})\b/g, '{host-ip}:{ephemeral}')
  }

  private uuid(text: string): string {
    const known = this.uuids.get(text) ?? this.uuids.size + 1
    this.uuids.set(text, known)
    return text[14] === '4' ? `{uuid:${known}}` : `{uuid:${known}/${text[14]}}`
  }

  private id(text: string): string {
    const known = this.ids.get(text) ?? this.ids.size + 1
    this.ids.set(text, known)
    return `{id:${known}}`
  }

  private port(port: number): string {
    const name = this.ports.get(port)
    return name === undefined ? '{ephemeral}' : `{port:${name}}`
  }
}

function normaliseStats(stats: Readonly<Record<string, number | string>>): Record<string, number | string> {
  return Object.fromEntries(
    Object.entries(stats).map(([name, value]) => [
      name,
      /_bytes_(total|buffered)$/.test(name) && value !== 0 ? '{bytes}' : value,
    ]),
  )
}
