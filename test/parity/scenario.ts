import type { ClientAction } from '../../bench/wire/http1-client.ts'
import type { StreamScript } from '../harness/h2-client.ts'
import type { UpstreamSpec } from '../harness/upstream.ts'

/**
 * A group shares one proxy process and one configuration. `config` is the bootstrap: an object (written as JSON) or YAML
 * text. Placeholders in it: `$port(name)` the port of the upstream or listener of that name (a name nobody serves is a
 * closed port), `$cert(file)` a test certificate's path, `$tmp` the group's directory.
 * Every access log of the group must write to `$tmp/access.log`; the admin listener must be on `$port(admin)`.
 */
export interface Group {
  readonly name: string
  readonly upstreams: Readonly<Record<string, UpstreamSpec>>
  readonly config: object | string
  /** Files of the group's directory (`$tmp`) by name, written as JSON before the proxy starts; placeholders are filled in them too. */
  readonly files?: Readonly<Record<string, object>>
  /** More command-line arguments of the proxy. */
  readonly args?: readonly string[]
  readonly scenarios: readonly Scenario[]
}

export interface Scenario {
  /** Unique in the whole suite: `group/words-with-dashes`. */
  readonly name: string
  /** The rule, in one sentence. */
  readonly doc: string
  readonly steps: readonly Step[]
  readonly compare?: Compare
  /** Cases of test/fixtures/envoy/responses-cases.json this scenario covers. */
  readonly covers?: readonly string[]
}

/** What besides client, upstream and access log is compared, and what is left out. */
export interface Compare {
  /** Regular expressions over stat names. Counters are compared as differences over the scenario, gauges as they end. */
  readonly stats?: readonly string[]
  /** False: which upstream got what is not compared (random picks). */
  readonly upstream?: boolean
  /** False: access-log lines are not compared. */
  readonly log?: boolean
  /** Compare upstream requests, or log lines, as a set: their order is decided by a race. */
  readonly unordered?: boolean
  /** Upstreams whose request headers are compared sorted, as the real proxy sends them in hash order. */
  readonly shuffledHeads?: readonly string[]
  /** Regular expressions over names (statsd: whole lines): what is compared of what stat sinks send. */
  readonly metrics?: readonly string[]
  /** Waits until so many log lines came (they may be late: upgrades, TCP, timers). */
  readonly logLines?: number
}

export interface TlsClient {
  readonly sni?: string
  readonly alpn?: readonly string[]
  readonly certificate?: string
  readonly maxVersion?: 'TLSv1.2' | 'TLSv1.3'
  /** OpenSSL's list, best first. */
  readonly sigalgs?: string
  /** Offers the newest session that the clients of this scenario were given; the outcome says ` resumed` when it was taken. */
  readonly resume?: boolean
  /** The client understands no session tickets; up to TLS 1.2 a session id is left. */
  readonly noTickets?: boolean
}

export type Step =
  | {
      readonly kind: 'http1'
      readonly listener: string
      readonly actions: readonly ClientAction[]
      readonly responses: number
      readonly methods: readonly string[]
      readonly linger?: number
      readonly tls?: TlsClient
    }
  | {
      readonly kind: 'h2'
      readonly listener: string
      readonly streams: readonly StreamScript[]
      readonly settings?: readonly (readonly [number, number])[]
      readonly rawFrames?: string
      readonly untilClosed?: boolean
      readonly tls?: TlsClient
    }
  | {
      readonly kind: 'tcp'
      readonly listener: string
      readonly actions: readonly ClientAction[]
      readonly linger?: number
      readonly tls?: TlsClient
    }
  | {
      readonly kind: 'admin'
      readonly method: string
      readonly path: string
      readonly body?: string
      /** How the body is compared: as text (default), parsed with sorted keys, as sorted lines, its JSON keys, or not. */
      readonly as?: 'text' | 'json' | 'lines' | 'keys' | 'none'
      /** Only lines matching this regular expression (for `text` and `lines`). */
      readonly only?: string
    }
  | { readonly kind: 'wait'; readonly ms: number }
  /** Replaces a file of the group's directory by rename, as configuration managers do. */
  | { readonly kind: 'file'; readonly name: string; readonly content: object }
  /** Polls a stat until it has at least this value (or exactly, with `exact`); fails the scenario when that takes too long. */
  | { readonly kind: 'until'; readonly stat: string; readonly value: number; readonly exact?: boolean }
  /** Runs steps at the same time; each may start later by `after` ms. */
  | { readonly kind: 'together'; readonly steps: readonly { readonly after: number; readonly step: Step }[] }
  /** The same step n times; only the multiset of outcomes is compared (random load balancing). */
  | { readonly kind: 'tally'; readonly times: number; readonly step: Step; readonly of: 'upstream' | 'status' }

export interface RequestOptions {
  readonly listener?: string
  readonly method?: string
  readonly host?: string
  readonly headers?: readonly string[]
  readonly body?: string
  /** The upstream's script, sent as `x-up`. */
  readonly up?: string
  readonly linger?: number
  readonly tls?: TlsClient
  /** Bytes before the request (a PROXY header). */
  readonly before?: string
}

/** One ordinary request on a connection of its own. */
export function get(path: string, options: RequestOptions = {}): Step {
  const method = options.method ?? 'GET'
  return {
    kind: 'http1',
    listener: options.listener ?? 'main',
    actions: [(options.before ?? '') + requestBytes(path, options)],
    responses: 1,
    methods: [method],
    ...timing(options),
  }
}

/** The bytes of one request, for scripts of several. */
export function requestBytes(path: string, options: RequestOptions = {}): string {
  const lines = [`${options.method ?? 'GET'} ${path} HTTP/1.1`, `Host: ${options.host ?? 'lab.test'}`]
  if (options.up !== undefined) lines.push(`x-up: ${options.up}`)
  if (options.headers !== undefined) lines.push(...options.headers)
  if (options.body !== undefined) lines.push(`content-length: ${options.body.length}`)
  return `${lines.join('\r\n')}\r\n\r\n${options.body ?? ''}`
}

/** Exact bytes in, `responses` parsed responses out. */
export function raw(
  actions: string | readonly ClientAction[],
  options: RequestOptions & { responses?: number; methods?: readonly string[] } = {},
): Step {
  return {
    kind: 'http1',
    listener: options.listener ?? 'main',
    actions: typeof actions === 'string' ? [actions] : actions,
    responses: options.responses ?? 1,
    methods: options.methods ?? [],
    ...timing(options),
  }
}

export function tcp(listener: string, actions: readonly ClientAction[], options: RequestOptions = {}): Step {
  return { kind: 'tcp', listener, actions, ...timing(options) }
}

/** Fields of an HTTP/2 request in the order most clients use; `extra` comes last. */
export function fields(path: string, extra: Readonly<Record<string, string>> = {}): [string, string][] {
  const all: Record<string, string> = { ':method': 'GET', ':scheme': 'http', ':authority': 'lab.test', ':path': path }
  for (const [name, value] of Object.entries(extra)) all[name] = value
  return Object.entries(all).sort(([a], [b]) => Number(b.startsWith(':')) - Number(a.startsWith(':')))
}

export function h2(path: string, extra: Readonly<Record<string, string>> = {}, listener = 'main'): Step {
  return { kind: 'h2', listener, streams: [{ fields: fields(path, extra) }] }
}

export function grpc(path: string, extra: Readonly<Record<string, string>> = {}, listener = 'main'): Step {
  const headers = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers', ...extra }
  return { kind: 'h2', listener, streams: [{ fields: fields(path, headers), body: '\0\0\0\0\x02hi' }] }
}

export function admin(path: string, options: Partial<Extract<Step, { kind: 'admin' }>> = {}): Step {
  return { kind: 'admin', method: 'GET', path, ...options }
}

export function together(...steps: (Step | [after: number, step: Step])[]): Step {
  return {
    kind: 'together',
    steps: steps.map(entry => (Array.isArray(entry) ? { after: entry[0], step: entry[1] } : { after: 0, step: entry })),
  }
}

function timing(options: RequestOptions): { linger?: number; tls?: TlsClient } {
  return {
    ...(options.linger === undefined ? {} : { linger: options.linger }),
    ...(options.tls === undefined ? {} : { tls: options.tls }),
  }
}

/** The short form of a scenario without special comparison. */
export function scenario(
  name: string,
  doc: string,
  steps: Step | readonly Step[],
  covers: readonly string[] = [],
  compare: Compare = {},
): Scenario {
  return { name, doc, steps: 'kind' in steps ? [steps] : steps, covers, compare }
}
