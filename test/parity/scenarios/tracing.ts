import { bootstrap, cluster, fileLog, H2_UPSTREAM, httpListener } from '../configs/builder.ts'
import { type Compare, type Group, get, type Scenario, type Step, scenario } from '../scenario.ts'

/** Tracing: which requests, the headers that hops exchange for it, and the spans that collectors get. */
const ZIPKIN = (more = '') =>
  `{name: z, typed_config: {"@type": type.googleapis.com/envoy.config.trace.v3.ZipkinConfig, collector_cluster: collector, collector_endpoint: /api/v2/spans, collector_endpoint_version: HTTP_JSON${more}}}`
const OTLP = (more = '') =>
  `{name: o, typed_config: {"@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig, http_service: {http_uri: {uri: "http://otel.test/v1/traces", cluster: collector, timeout: 1s}}, service_name: svc${more}}}`
const OTLP_GRPC = `{name: o, typed_config: {"@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig, grpc_service: {envoy_grpc: {cluster_name: otlp, authority: otel.test}}, service_name: svc}}`
const SAMPLER = (name: string, more = '') =>
  `, sampler: {name: s, typed_config: {"@type": type.googleapis.com/envoy.extensions.tracers.opentelemetry.samplers.v3.${name}${more}}}`
const UUID = (more: string) =>
  `request_id_extension: {typed_config: {"@type": type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig, ${more}}}`

const ROUTES = `
- {match: {path: /deco}, route: {cluster: a}, decorator: {operation: deco}}
- {match: {path: /quiet}, route: {cluster: a}, decorator: {operation: deco, propagate: false}}
- {match: {path: /never}, route: {cluster: a}, tracing: {random_sampling: {numerator: 0}, client_sampling: {numerator: 0}}}
- {match: {path: /always}, route: {cluster: a}, tracing: {}}
- {match: {path: /named}, route: {cluster: a}, decorator: {operation: deco}, tracing: {operation: "op-%REQ(:METHOD)%-%RESPONSE_CODE%", upstream_operation: "up-%UPSTREAM_CLUSTER%", custom_tags: [{tag: of, literal: {value: route}}]}}
- {match: {path: /direct}, direct_response: {status: 200, body: {inline_string: ok}}}
- {match: {path: /closed}, route: {cluster: closed}}
- {match: {path: /retry}, route: {cluster: a, retry_policy: {retry_on: 5xx, num_retries: 1}}}
- {match: {path: /slow}, route: {cluster: a, timeout: 0.2s}}
- {match: {path: /rewrite}, route: {cluster: a, prefix_rewrite: /rewritten}}
- {match: {path: /mirror}, route: {cluster: a, request_mirror_policies: [{cluster: m}]}}
- {match: {path: /mirrorless}, route: {cluster: a, request_mirror_policies: [{cluster: m2, trace_sampled: false}]}}
- {match: {path: /redirects}, route: {cluster: a, internal_redirect_policy: {}}}
- {match: {prefix: /here}, route: {cluster: a}, metadata: {filter_metadata: {ns: {text: str, number: 12, part: 1.25, big: 12345678, yes: true, list: [1, x], object: {k: v}, nothing: null}}}}
`
const TAGS = `
- {tag: literal, literal: {value: v}}
- {tag: unset, environment: {name: NO_SUCH_VARIABLE, default_value: d}}
- {tag: missing, environment: {name: NO_SUCH_VARIABLE}}
- {tag: header, request_header: {name: X-H, default_value: d}}
- {tag: of, literal: {value: manager}}
- {tag: path, request_header: {name: ":path"}}
${['text', 'number', 'part', 'big', 'yes', 'list', 'object', 'nothing']
  .map(
    key =>
      `- {tag: "m.${key}", metadata: {kind: {route: {}}, metadata_key: {key: ns, path: [{key: ${key}}]}, default_value: d}}`,
  )
  .join('\n')}
- {tag: m.request, metadata: {kind: {request: {}}, metadata_key: {key: ns, path: [{key: x}]}, default_value: d}}
- {tag: m.cluster, metadata: {kind: {cluster: {}}, metadata_key: {key: ns, path: [{key: c}]}}}
- {tag: m.host, metadata: {kind: {host: {}}, metadata_key: {key: ns, path: [{key: h}]}, default_value: d}}
- {tag: format, value: "%REQ(:METHOD)%-%REQ(none)%-%RESPONSE_CODE%"}
- {tag: format.int, value: "%RESPONSE_CODE%", value_type: INT}
- {tag: format.double, value: "1.5", value_type: DOUBLE}
- {tag: format.bool, value: "true", value_type: BOOL}
- {tag: format.bad, value: "abc", value_type: INT}
- {tag: dup, literal: {value: first}}
- {tag: dup, literal: {value: second}}
- {tag: component, literal: {value: mine}}
`
const LOG = JSON.stringify([
  fileLog('code=%RESPONSE_CODE% path=%REQ(:PATH)% id=%REQ(X-REQUEST-ID)% trace=%TRACE_ID% span=%SPAN_ID%\n'),
])

interface Traced {
  readonly provider?: string
  readonly tracing?: string
  readonly hcm?: string
  readonly listener?: string
  readonly router?: string
}

function traced(name: string, { provider, tracing = '', hcm = '', listener = '', router = '' }: Traced) {
  const own = provider === undefined ? '' : `provider: ${provider}`
  return httpListener(name, {
    routes: ROUTES,
    hcm: `access_log: ${LOG}\ntracing:\n${
      [own, ...tracing.split('\n')]
        .filter(line => line !== '')
        .map(line => `  ${line}`)
        .join('\n') || '  verbose: false'
    }\n${hcm}`,
    listener,
    router,
  })
}

/** Spans come one by one, so that nobody waits for a second one; `flush`: how many make a report. */
function group(
  name: string,
  listeners: readonly Record<string, unknown>[],
  flush: number,
  scenarios: readonly Scenario[],
): Group {
  const runtime = ['zipkin', 'opentelemetry'].map(kind => `tracing.${kind}.min_flush_spans: ${flush}`).join(', ')
  return {
    name,
    upstreams: {
      a: { kind: 'http1' },
      m: { kind: 'http1' },
      collector: { kind: 'http1', script: 'status:202' },
      otlp: { kind: 'h2' },
    },
    config: bootstrap(
      listeners,
      [
        cluster('a', 'a', 'metadata: {filter_metadata: {ns: {c: of-cluster}}}\nalt_stat_name: other'),
        cluster('m', 'm'),
        cluster('m2', 'm'),
        cluster('closed', 'nobody'),
        cluster('collector', 'collector'),
        cluster('otlp', 'otlp', H2_UPSTREAM),
      ],
      `layered_runtime: {layers: [{name: s, static_layer: {${runtime}}}]}`,
    ),
    scenarios,
  }
}

const SET: Compare = { unordered: true }
const REPORTED: Step = { kind: 'wait', ms: 150 }

function one(name: string, doc: string, steps: Step | readonly Step[], compare: Compare = SET): Scenario {
  return scenario(name, doc, [...('kind' in steps ? [steps] : steps), REPORTED], [], compare)
}

const ID = (digit: string) => `x-request-id: d9dea490-ae85-${digit}0d3-bd51-f93474b086ac`
const W3C = 'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
const UNSAMPLED = W3C.replace(/1$/, '0')
const B3 = ['x-b3-traceid: 463ac35c9f6413ad48485a3953bb6124', 'x-b3-spanid: a2fb4a1d1a96d312', 'x-b3-sampled: 1']
const B3_64 = ['x-b3-traceid: 48485a3953bb6124', ...B3.slice(1)]
const COUNTS: Compare = { unordered: true, stats: ['^http\\.(all|normal|noclient)\\.tracing\\.'] }

const WHO: readonly (readonly string[])[] = [
  [],
  ['x-client-trace-id: abc'],
  ['x-envoy-force-trace: true'],
  [ID('9')],
  [ID('a')],
  [ID('b')],
  [ID('c')],
  ['x-request-id: junk', 'x-envoy-force-trace: true'],
]

/** Every kind of request at one listener. */
function reasons(listener: string, doc: string): Scenario {
  const steps = WHO.map(headers => get('/here', { listener, headers }))
  return one(`${listener}-reasons`, doc, steps, { unordered: true, stats: [`^http\\.${listener}\\.tracing\\.`] })
}

/** Requests with contexts, one after the other; each has its own path, so that what belongs together is seen. */
function contexts(listener: string, doc: string, cases: Readonly<Record<string, readonly string[]>>): Scenario {
  const steps = Object.entries(cases).map(([name, headers]) => get(`/here/${name}`, { listener, headers }))
  return one(`${listener}-contexts`, doc, steps)
}

const B3_CASES = {
  none: [],
  multi: B3,
  'multi-64-parent': [...B3_64, 'x-b3-parentspanid: 05e3ac9a4f6e3b90'],
  'multi-undecided': B3.slice(0, 2),
  'multi-unsampled': [...B3.slice(0, 2), 'x-b3-sampled: 0'],
  'flag-only': ['x-b3-sampled: 0'],
  'bad-trace': ['x-b3-traceid: zzz', ...B3.slice(1)],
  'bad-span': [B3[0]!, 'x-b3-spanid: zzz'],
  short: ['x-b3-traceid: 12', 'x-b3-spanid: 34', 'x-b3-sampled: 1'],
  single: ['b3: 463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-1-05e3ac9a4f6e3b90'],
  'single-debug': ['b3: 48485a3953bb6124-a2fb4a1d1a96d312-d'],
  'single-flag': ['b3: 0'],
  'single-bad': ['b3: 48485a3953bb6124-a2fb4a1d1a96d31'],
  both: [...B3, 'b3: 48485a3953bb6124-05e3ac9a4f6e3b90-0'],
  w3c: [W3C],
}

const OUTBOUND = 'traffic_direction: OUTBOUND'
const EDGE = 'use_remote_address: true'
const INTERNAL = `${EDGE}\ninternal_address_config: {cidr_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}`

const requests = group(
  'tracing',
  [
    traced('all', { provider: OTLP() }),
    traced('edge', { provider: OTLP(), hcm: EDGE }),
    traced('keep', { provider: OTLP(), hcm: `${EDGE}\npreserve_external_request_id: true` }),
    traced('internal', { provider: OTLP(), hcm: INTERNAL }),
    traced('none', { provider: OTLP(), tracing: 'random_sampling: {value: 0}' }),
    traced('noclient', { provider: OTLP(), tracing: 'random_sampling: {value: 0}\nclient_sampling: {value: 0}' }),
    traced('cut', { provider: OTLP(), tracing: 'overall_sampling: {value: 0}' }),
    traced('unpacked', { provider: OTLP(), hcm: UUID('pack_trace_reason: false') }),
    traced('unasked', {
      provider: OTLP(),
      tracing: 'random_sampling: {value: 0}',
      hcm: UUID('use_request_id_for_trace_sampling: false'),
    }),
    traced('noid', { provider: OTLP(), hcm: 'generate_request_id: false' }),
    traced('noprovider', { tracing: 'verbose: true' }),
    traced('out', { provider: OTLP(), listener: OUTBOUND }),
    traced('silent', { provider: OTLP(), tracing: 'no_context_propagation: true' }),
    traced('zipkin', { provider: ZIPKIN() }),
    traced('zipkinout', { provider: ZIPKIN(), listener: OUTBOUND }),
    traced('unshared', { provider: ZIPKIN(', shared_span_context: false, trace_id_128bit: true') }),
    traced('split', { provider: ZIPKIN(', split_spans_for_request: true'), listener: OUTBOUND }),
    traced('w3c', { provider: ZIPKIN(', trace_id_128bit: true, trace_context_option: USE_B3_WITH_W3C_PROPAGATION') }),
    traced('grpc', { provider: OTLP_GRPC }),
    traced('always', { provider: OTLP(SAMPLER('AlwaysOnSamplerConfig')), tracing: 'random_sampling: {value: 0}' }),
    traced('parent', {
      provider: OTLP(
        SAMPLER(
          'ParentBasedSamplerConfig',
          ', wrapped_sampler: {name: w, typed_config: {"@type": type.googleapis.com/envoy.extensions.tracers.opentelemetry.samplers.v3.TraceIdRatioBasedSamplerConfig, sampling_percentage: {numerator: 0}}}',
        ),
      ),
    }),
    traced('tags', {
      provider: OTLP(),
      tracing: `max_path_tag_length: 8\ncustom_tags:${TAGS.replaceAll('\n', '\n  ')}`,
    }),
    traced('ztags', { provider: ZIPKIN(), tracing: `verbose: true\ncustom_tags:${TAGS.replaceAll('\n', '\n  ')}` }),
    traced('normal', { provider: OTLP(), hcm: 'path_with_escaped_slashes_action: REJECT_REQUEST' }),
  ],
  1,
  [
    reasons('all', 'everything is sampled'),
    reasons('edge', 'strangers neither force a trace nor keep their id'),
    reasons('keep', 'a preserved id of a stranger says nothing about tracing'),
    reasons('internal', 'internal callers force traces'),
    reasons('none', 'without random sampling only who asks is traced'),
    reasons('noclient', 'nor by x-client-trace-id without client sampling'),
    reasons('cut', 'overall sampling goes before everything'),
    reasons('unpacked', 'ids are not marked'),
    reasons('unasked', 'ids do not decide'),
    reasons('noid', 'no id, no trace'),
    reasons('noprovider', 'without a provider requests are marked and counted'),
    one(
      'never',
      'a route turns sampling off',
      get('/never', { listener: 'all', headers: ['x-client-trace-id: a'] }),
      COUNTS,
    ),
    one(
      'always',
      'tracing of a route is 100 % of everything unless it says less',
      get('/always', { listener: 'noclient' }),
      COUNTS,
    ),
    ...['all', 'noprovider', 'out'].map(listener =>
      one(
        `${listener}-decorators`,
        'decorators name spans, and tell the other side',
        ['/deco', '/quiet', '/here', '/named'].flatMap(path =>
          [[], ['x-envoy-decorator-operation: asked']].flatMap(headers =>
            ['ok', 'hdr:x-envoy-decorator-operation=told'].map(up => get(path, { listener, headers, up })),
          ),
        ),
      ),
    ),
    contexts('zipkin', 'B3 at an inbound listener', B3_CASES),
    contexts('zipkinout', 'B3 at an outbound listener', { none: [], multi: B3, single: B3_CASES.single }),
    contexts('unshared', 'spans of their own ids', { none: [], multi: B3, single: B3_CASES.single }),
    contexts('split', 'server spans at an outbound listener', { none: [], multi: B3 }),
    contexts('w3c', 'B3 with W3C', {
      none: [],
      multi: B3,
      w3c: [W3C, 'tracestate: a=b'],
      bad: ['traceparent: 00-junk'],
      both: [W3C, ...B3],
    }),
    contexts('all', 'W3C', {
      w3c: [W3C, 'tracestate: a=b', 'tracestate: c=d'],
      unsampled: [UNSAMPLED],
      version: [`traceparent: cc${W3C.slice(15)}`],
      bad: ['traceparent: 00-junk'],
      zero: [W3C.replace('4bf92f3577b34da6a3ce929d0e0e4736', '0'.repeat(32))],
      state: ['tracestate: a=b'],
      b3: B3,
    }),
    contexts('none', 'a sampled parent against the connection manager', { w3c: [W3C] }),
    contexts('silent', 'the context is not passed on', { none: [], w3c: [W3C] }),
    contexts('grpc', 'OTLP by gRPC', { none: [], w3c: [W3C] }),
    contexts('always', 'a sampler against the connection manager', {
      none: [],
      w3c: [W3C],
      marked: [ID('9'), UNSAMPLED],
    }),
    contexts('parent', 'the sampler of the parent', { none: [], w3c: [W3C], unsampled: [UNSAMPLED] }),
    one('unrouted', 'a request without a route has a span', get('/nowhere', { listener: 'all' })),
    one('direct', 'a direct answer', get('/direct', { listener: 'all' })),
    one('failed', 'an upstream that is not there', get('/closed', { listener: 'all' })),
    one('error', 'an answer of 500', get('/here', { listener: 'all', up: 'status:500' })),
    one('slow', 'the route timeout', get('/slow', { listener: 'all', up: 'hang' })),
    one('rewritten', 'the url is the one asked for', get('/rewrite?q=1', { listener: 'all' })),
    one(
      'refused',
      'a request that is refused before it has a route is counted and has no span',
      get('/a%2Fb', { listener: 'normal' }),
      COUNTS,
    ),
    one(
      'redirected',
      'an internal redirect ends the first span; nobody samples the second',
      get('/redirects', { listener: 'all', up: 'status:302,hdr:location=http://lab.test/here|ok' }),
      COUNTS,
    ),
    one('tags', 'custom tags by OTLP', get('/here', { listener: 'tags', headers: ['x-h: one', 'x-h: two'] })),
    one('tags-zipkin', 'custom tags by Zipkin', get('/here', { listener: 'ztags' })),
    one('tags-route', "a route's tags go before the connection manager's", get('/named', { listener: 'tags' })),
    one('url', 'max_path_tag_length', get('/here/and/farther', { listener: 'tags' })),
  ],
)

const WARM = [get('/here', { listener: 'plain' }), get('/here', { listener: 'plain' })]

const children = group(
  'tracing-children',
  [
    traced('spawn', { provider: OTLP(), tracing: 'spawn_upstream_span: true' }),
    traced('spawnout', { provider: OTLP(), tracing: 'spawn_upstream_span: true', listener: OUTBOUND }),
    traced('zspawn', { provider: ZIPKIN(), tracing: 'spawn_upstream_span: true\nverbose: true' }),
    traced('router', { provider: OTLP(), router: 'start_child_span: true', listener: OUTBOUND }),
    traced('plain', { provider: OTLP() }),
  ],
  2,
  [
    one('spawn', 'an attempt has a span of its own', get('/here', { listener: 'spawn', headers: [W3C] })),
    one('spawn-out', 'the request has a server span then, outbound too', get('/here', { listener: 'spawnout' })),
    one('spawn-zipkin', 'children in Zipkin', get('/here', { listener: 'zspawn', headers: B3 })),
    one('spawn-named', 'upstream_operation', get('/named', { listener: 'spawn' })),
    one('spawn-failed', 'an attempt that comes to nothing', get('/closed', { listener: 'spawn' })),
    one('spawn-slow', 'an attempt that is given up', get('/slow', { listener: 'spawn', up: 'hang' })),
    one('router', 'start_child_span of the router', get('/here', { listener: 'router' })),
    // The mirror has no connection yet and the upstream has one, so that the copy is the later one to arrive.
    one('mirror', 'a mirrored request is a child', [...WARM, get('/mirror', { listener: 'plain' })]),
    one('mirror-unsampled', 'trace_sampled false', [...WARM, get('/mirrorless', { listener: 'plain' }), WARM[0]!]),
  ],
)

const retries = group(
  'tracing-retries',
  [traced('spawn', { provider: OTLP(), tracing: 'spawn_upstream_span: true' })],
  3,
  [one('retry', 'every attempt has a span', get('/retry', { listener: 'spawn', up: 'status:503|ok' }))],
)

export default [requests, children, retries]
