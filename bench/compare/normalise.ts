import type { Attempt, Exchange, TypeAnswer } from './result.ts'

/** What is made equal before comparing; printed in every report. Whatever is not named here is compared byte for byte. */
export const NORMALISATION: readonly string[] = [
  'date headers of today and ISO timestamps: {date}, {time}',
  'UUIDs, as in x-request-id: {uuid 1}, {uuid 2} … in order of appearance, so that equality is compared',
  'x-envoy-upstream-service-time: {ms}',
  'x-envoy-expected-rq-timeout-ms of second and later attempts, which is what is left: {remaining}',
  'ids of traces (traceparent, x-b3-*, uber-trace-id, x-datadog-*, x-cloud-trace-context): {trace}',
  'ports: those of this run by their purpose, other loopback ports: {port}',
  'directories of this run: {folder}',
  'names of headers in lower case',
  'byte counts of the access log where a normalised header has another length',
  'reasons of rejected pushes: without the place that Remora adds (; at …)',
  'stat names: ports as above; counters that depend on time, on sizes or on connections kept are compared by name only',
  'stat names: cluster.NAME.http2 of clusters that lead to a control plane, which Remora reaches through a gRPC library, are not compared',
]

const TRACE_HEADER =
  /^(traceparent|tracestate|b3|x-b3-[a-z]+|uber-trace-id|x-datadog-[a-z-]+|x-cloud-trace-context|x-ot-span-context|sw8|elastic-apm-traceparent): .*$/i

/** Of one proxy; UUIDs are numbered per request. */
export class Normaliser {
  private readonly ports: ReadonlyMap<number, string>
  private readonly folder: string
  private uuids = new Map<string, number>()

  constructor(ports: ReadonlyMap<number, string>, folder: string) {
    this.ports = ports
    this.folder = folder
  }

  exchange(seen: Exchange): Exchange {
    this.uuids = new Map()
    return {
      ...seen,
      headers: seen.headers.map(line => this.header(line)),
      trailers: seen.trailers.map(line => this.header(line)),
      body: this.text(seen.body),
      log: Object.fromEntries(Object.entries(seen.log).map(([name, value]) => [name, this.text(value)])),
      attempts: seen.attempts.map((attempt, i) => this.attempt(attempt, i)),
    }
  }

  answer(said: TypeAnswer): TypeAnswer {
    return { ...said, rejections: said.rejections.map(reason => this.text(withoutPlace(reason))) }
  }

  statName(name: string): string {
    return this.text(name)
  }

  private attempt(seen: Attempt, index: number): Attempt {
    const head = seen.head.map(line => {
      const text = this.header(line)
      return index === 0 ? text : text.replace(/^(x-envoy-expected-rq-timeout-ms: )\d+$/, '$1{remaining}')
    })
    return { ...seen, head, body: this.text(seen.body) }
  }

  private header(line: string): string {
    const colon = line.indexOf(':', 1)
    const lower = colon < 0 || line.startsWith('HTTP/') ? line : line.slice(0, colon).toLowerCase() + line.slice(colon)
    return this.text(
      lower
        .replace(/^date: .+/, value => (isToday(value.slice(6)) ? 'date: {date}' : value))
        .replace(/^(x-envoy-upstream-service-time: )\d+$/, '$1{ms}')
        .replace(TRACE_HEADER, '$1: {trace}'),
    )
  }

  private text(value: string): string {
    return value
      .replaceAll(this.folder, '{folder}')
      .replace(/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g, found => {
        const number = this.uuids.get(found) ?? this.uuids.size + 1
        this.uuids.set(found, number)
        return `{uuid ${number}}`
      })
      .replace(/\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, '{time}')
      .replace(
        /\b127\.0\.0\.1([:_])(\d{2,5})\b/g,
        (_, mark: string, port: string) => `127.0.0.1${mark}${this.port(Number(port))}`,
      )
      .replace(/^(x-forwarded-port: )(\d+)$/, (_, name: string, port: string) => name + this.port(Number(port)))
  }

  private port(port: number): string {
    const purpose = this.ports.get(port)
    return purpose === undefined ? '{port}' : `{port of ${purpose}}`
  }
}

/** Remora says where in the resource, and what to do: `; at Listener 'x': filter_chains[0]…`, until the next one (`, y: why`) or line. */
function withoutPlace(reason: string): string {
  return reason.replace(/; at .*?(?=, \S+: |$)/gm, '').trimEnd()
}

function isToday(text: string): boolean {
  return Math.abs(Date.parse(text) - Date.now()) < 86_400_000
}
