import { boundBacktracking } from '../base/regex.ts'

/** One rule that cuts a label out of a flat stat name. */
export interface TagRule {
  /** Prometheus-ready label without the `envoy_` of the default rules: as configured. */
  readonly label: string
  /** Group 1 is cut out of the name; group 2 (or 1 when there is no second) is the value. */
  readonly pattern: RegExp
  /** A plain part the name must contain for the pattern to be tried. */
  readonly needs: string
  /** Of a configured pattern: says first whether it matches. Null for the default rules. */
  readonly probe: Probe | null
}

export interface TaggedName {
  /** The name without the tags' text, dotted. */
  readonly name: string
  /** In the order Envoy prints them. */
  readonly tags: readonly (readonly [string, string])[]
}

// `d`: where group 1 lies is needed, not only its text.
const rule = (label: string, pattern: RegExp, needs = ''): TagRule => ({
  label: `envoy.${label}`,
  pattern: new RegExp(pattern.source, 'd'),
  needs,
  probe: null,
})

/**
 * Envoy's default rules. Those not anchored to a literal first token run first and their labels come before the constant tags
 * (`TagProducerImpl` keeps the two sorts apart); the order inside each list is the order labels are printed in.
 */
const UNANCHORED: readonly TagRule[] = [
  rule('response_code', /_rq(_(\d{3}))$/, '_rq_'),
  rule('response_code_class', /_rq_((\d))xx$/, '_rq_'),
  rule('ssl_curve', /\.ssl\.curves(\.([^.]+))$/, '.ssl.curves.'),
  rule('ssl_sigalg', /\.ssl\.sigalgs(\.([^.]+))$/, '.ssl.sigalgs.'),
  rule('ssl_version', /\.ssl\.versions(\.([^.]+(?:\.[^.]+)*))$/, '.ssl.versions.'),
  rule('local_http_ratelimit_prefix', /^(([^.]+)\.)http_local_rate_limit\./, '.http_local_rate_limit.'),
  rule('worker_id', /\.worker(_(\d+))\./, '.worker_'),
  rule('tls_certificate', /\.ssl\.certificate(\.(.+))\.expiration_unix_time_seconds$/, '.ssl.certificate.'),
]

const ANCHORED: readonly TagRule[] = [
  rule(
    'dynamo_partition_id',
    /^http\..*?\.dynamodb\.table\..*?\.capacity\..*?(\.__partition_id=(\w{7}))$/,
    '.dynamodb.table.',
  ),
  rule('dynamo_operation', /^http\..*?\.dynamodb\.(?:operation|table\..*?\.capacity)(\.([^.]*))(?:\.|$)/, '.dynamodb.'),
  rule('mongo_callsite', /^mongo\.[^.]+\.collection\.[^.]+\.callsite\.(([^.]+)\.)query\./, '.callsite.'),
  rule('dynamo_table', /^http\..*?\.dynamodb\.(?:table|error)\.(([^.]+)\.)/, '.dynamodb.'),
  rule('mongo_collection', /^mongo\.[^.]+\.collection\.(([^.]+)\.).*query\./, '.collection.'),
  rule('mongo_cmd', /^mongo\.[^.]+\.cmd\.(([^.]+)\.)/, '.cmd.'),
  rule('grpc_bridge_method', /^cluster\.[^.]+\.grpc\.[^.]+\.(([^.]+)\.)/, '.grpc.'),
  rule('http_user_agent', /^http\.[^.]+\.user_agent\.(([^.]+)\.)/, '.user_agent.'),
  rule('rds_route_config', /^http\.[^.]+\.rds\.((.*?)\.)\w+$/, '.rds.'),
  rule('scoped_rds_config', /^http\.[^.]+\.scoped_rds\.((.*?)\.)\w+$/, '.scoped_rds.'),
  rule('virtual_cluster', /^vhost\.[^.]+\.vcluster\.(([^.]+)\.)/, '.vcluster.'),
  rule('fault_downstream_cluster', /^http\.[^.]+\.fault\.(([^.]+)\.)/, '.fault.'),
  rule('ssl_cipher', /^listener\..*?\.ssl\.ciphers(\.([^.]+))$/, '.ssl.ciphers.'),
  {
    label: 'cipher_suite',
    pattern: /^cluster\.[^.]+\.ssl\.ciphers(\.([^.]+))$/d,
    needs: '.ssl.ciphers.',
    probe: null,
  },
  rule('grpc_bridge_service', /^cluster\.[^.]+\.grpc\.(([^.]+)\.)/, '.grpc.'),
  rule('rbac_prefix', /^(([^.]+)\.)rbac\./, '.rbac.'),
  rule('tcp_prefix', /^tcp\.(([^.]+)\.)/, 'tcp.'),
  rule('udp_prefix', /^udp\.(([^.]+)\.)/, 'udp.'),
  rule('clientssl_prefix', /^auth\.clientssl\.(([^.]+)\.)/, 'auth.clientssl.'),
  rule('ratelimit_prefix', /^ratelimit\.(([^.]+)\.)/, 'ratelimit.'),
  rule('redis_prefix', /^redis\.(([^.]+)\.)/, 'redis.'),
  rule('proxy_protocol_prefix', /^proxy_proto\.((?!versions\.|not_found)([^.]+)\.)/, 'proxy_proto.'),
  rule('proxy_protocol_version', /^proxy_proto\..*?(versions\.v([12])\.)/, 'versions.'),
  rule('connection_limit_prefix', /^connection_limit\.(([^.]+)\.)/, 'connection_limit.'),
  rule('local_network_ratelimit_prefix', /^local_rate_limit\.(([^.]+)\.)/, 'local_rate_limit.'),
  rule('local_listener_ratelimit_prefix', /^listener_local_ratelimit\.(([^.]+)\.)/, 'listener_local_ratelimit.'),
  rule('dns_filter_prefix', /^dns_filter\.(([^.]+)\.)/, 'dns_filter.'),
  rule('http_conn_manager_prefix', /^listener\..*?\.http\.(([^.]+)\.)/, '.http.'),
  rule('http_conn_manager_prefix', /^http\.(([^.]+)\.)/, 'http.'),
  rule('virtual_host', /^vhost\.(([^.]+)\.)/, 'vhost.'),
  rule('route', /^vhost\.[^.]+\.route\.(([^.]+)\.)/, '.route.'),
  rule('cluster_name', /^cluster\.(([^.]+)\.)/, 'cluster.'),
  rule('ext_authz_prefix', /^(?:cluster|http)\.[^.]+\.ext_authz\.(([^.]+)\.)\w+$/, '.ext_authz.'),
  rule(
    'listener_address',
    /^listener\.((?!admin\.)(\[[a-fA-F_\d]*\]_\d+|\d+\.\d+\.\d+\.\d+_\d+|[^.]+)\.)/,
    'listener.',
  ),
  rule('mongo_prefix', /^mongo\.(([^.]+)\.)/, 'mongo.'),
]

/** One envoy.config.metrics.v3.TagSpecifier, read. */
export interface TagSpecifier {
  readonly tag_name: string
  readonly regex?: string
  readonly fixed_value?: string
}

/** What a TagExtractor is made from: plain, for workers. */
export interface TagConfig {
  readonly useDefaults: boolean
  readonly specifiers: readonly TagSpecifier[]
  /** --stats-tag */
  readonly fixed: readonly (readonly [string, string])[]
  /** allow_default_tag_overrides */
  readonly overrides: boolean
}

/** Cuts tags out of names, with a cache: one name is asked for at every scrape. */
export class TagExtractor {
  readonly #before: TagRule[] = []
  readonly #fixed: (readonly [string, string])[] = []
  readonly #fixedLabels = new Set<string>()
  readonly #after: TagRule[] = []
  readonly #cache = new Map<string, TaggedName>()

  /** `fixed`: --stats-tag. `overrides`: a specifier takes the place of the default rules of its name. Throws Error for a regex that does not compile and for an unknown default. */
  constructor(
    useDefaults: boolean,
    specifiers: readonly TagSpecifier[] = [],
    fixed: readonly (readonly [string, string])[] = [],
    overrides = false,
  ) {
    if (useDefaults) {
      const own = new Set(overrides ? specifiers.map(specifier => specifier.tag_name) : [])
      this.#before.push(...UNANCHORED.filter(r => !own.has(r.label)))
      this.#after.push(...ANCHORED.filter(r => !own.has(r.label)))
    }
    for (const [label, value] of fixed) this.#fix(label, value)
    for (const specifier of specifiers) this.#add(specifier)
  }

  /** Names whose tags are known, from the store. */
  explicit: ReadonlyMap<string, TaggedName> | null = null

  extract(name: string): TaggedName {
    const explicit = this.explicit === null ? undefined : this.explicit.get(name)
    if (explicit !== undefined) return explicit
    let known = this.#cache.get(name)
    if (known === undefined) {
      known = this.#cut(name)
      this.#cache.set(name, known)
    }
    return known
  }

  #add(specifier: TagSpecifier): void {
    const label = specifier.tag_name
    if (specifier.fixed_value !== undefined && specifier.fixed_value !== '') {
      this.#fix(label, specifier.fixed_value)
      return
    }
    if (specifier.regex === undefined || specifier.regex === '') {
      const defaults = [...UNANCHORED, ...ANCHORED].filter(r => r.label === label)
      if (defaults.length === 0) {
        throw new Error(`No regex specified for tag specifier and no default regex for name: '${label}'`)
      }
      for (const r of defaults) (UNANCHORED.includes(r) ? this.#before : this.#after).push(r)
      return
    }
    const source = withoutPosixClasses(specifier.regex)
    const pattern = new RegExp(source, 'd')
    // A pattern with a literal first token (`^cluster\.`) is filed under that token and runs after the others.
    const list = /^\^[\w]+\\\./.test(specifier.regex) ? this.#after : this.#before
    list.push({ label, pattern, needs: '', probe: new Probe(source) })
  }

  /** Of two values the first holds, and no rule cuts out another. */
  #fix(label: string, value: string): void {
    if (this.#fixedLabels.has(label)) return
    this.#fixedLabels.add(label)
    this.#fixed.push([label, value])
  }

  #cut(name: string): TaggedName {
    const tags: (readonly [string, string])[] = []
    const cuts: [number, number][] = []
    const seen = new Set(this.#fixedLabels)
    for (const r of this.#before) apply(r, name, tags, cuts, seen)
    for (const tag of this.#fixed) tags.push(tag)
    for (const r of this.#after) apply(r, name, tags, cuts, seen)
    if (cuts.length === 0) return { name, tags }
    cuts.sort((a, b) => a[0] - b[0])
    let rest = ''
    let at = 0
    for (const [from, to] of cuts) {
      if (from > at) rest += name.slice(at, from)
      at = Math.max(at, to)
    }
    // Envoy's symbol table drops dots at the end: `tcp.rbac.denied` without two tags is `tcp`.
    return { name: (rest + name.slice(at)).replace(/\.+$/, ''), tags }
  }
}

/** Tag patterns are std::regex in Envoy, which knows the classes of POSIX; Istio's bootstrap uses them. */
const POSIX_CLASSES: Readonly<Record<string, string>> = {
  alnum: 'a-zA-Z0-9',
  alpha: 'a-zA-Z',
  blank: ' \\t',
  cntrl: '\\x00-\\x1f\\x7f',
  digit: '0-9',
  graph: '\\x21-\\x7e',
  lower: 'a-z',
  print: '\\x20-\\x7e',
  punct: '!-\\/:-@\\[-`{-~',
  space: '\\s',
  upper: 'A-Z',
  xdigit: '0-9a-fA-F',
  d: '0-9',
  s: '\\s',
  w: '\\w',
}

function withoutPosixClasses(pattern: string): string {
  return pattern.replace(/\[:(\w+):\]/g, (_, name: string) => {
    const members = POSIX_CLASSES[name]
    if (members === undefined) throw new Error(`Invalid character class [:${name}:] in regex '${pattern}'`)
    return members
  })
}

/**
 * Whether a configured pattern matches. V8's linear engine, which takes over after too many backtracks, finds no positions (`d`); and
 * backtracking explodes where nothing matches, in names that hold what clients send (methods of gRPC, user agents). Made when it is first
 * asked: `boundBacktracking` is not for threads that still start.
 */
class Probe {
  readonly #source: string
  #pattern: RegExp | null = null

  constructor(source: string) {
    this.#source = source
  }

  matches(name: string): boolean {
    if (this.#pattern === null) {
      boundBacktracking()
      this.#pattern = new RegExp(this.#source)
    }
    return this.#pattern.test(name)
  }
}

function apply(
  r: TagRule,
  name: string,
  tags: (readonly [string, string])[],
  cuts: [number, number][],
  seen: Set<string>,
): void {
  if ((r.needs !== '' && !name.includes(r.needs)) || seen.has(r.label)) return
  if (r.probe !== null && !r.probe.matches(name)) return
  const match = r.pattern.exec(name)
  const removed = match?.[1]
  const range = match?.indices?.[1]
  if (match === null || removed === undefined || removed === '' || range === undefined) return
  tags.push([r.label, match[2] ?? removed])
  cuts.push(range)
  seen.add(r.label)
}
