import { bootstrap, cluster, H2_UPSTREAM, httpListener } from '../configs/builder.ts'
import { fields, type Group, get, type Scenario, scenario } from '../scenario.ts'

/**
 * x-envoy-* request headers that steer the router. The real Envoy 1.40 takes them only from internal requests: on a
 * listener without internal_address_config they are stripped, also without use_remote_address.
 */
const ROUTES = `
- {match: {prefix: /timeout}, route: {cluster: a, timeout: 0.2s, retry_policy: {retry_on: 5xx, num_retries: 1}}}
- {match: {prefix: /retried}, route: {cluster: a, timeout: 5s, retry_policy: {retry_on: 5xx, num_retries: 1}}}
- {match: {prefix: /h2}, route: {cluster: h2}}
- {match: {prefix: /}, route: {cluster: a}}
`
interface Case {
  readonly name: string
  readonly doc: string
  readonly up: string
  readonly headers: Readonly<Record<string, string>>
  readonly path?: string
}
const CASES: readonly Case[] = [
  {
    name: 'retry-on',
    doc: 'x-envoy-retry-on and x-envoy-max-retries',
    up: 'status:503',
    headers: { 'x-envoy-retry-on': '5xx', 'x-envoy-max-retries': '2' },
  },
  {
    name: 'retry-on-default',
    doc: 'x-envoy-retry-on alone: one retry',
    up: 'status:503',
    headers: { 'x-envoy-retry-on': '5xx' },
  },
  {
    name: 'retry-on-unknown',
    doc: 'An unknown word in x-envoy-retry-on',
    up: 'status:503|ok',
    headers: { 'x-envoy-retry-on': 'nonsense,5xx' },
  },
  {
    name: 'retry-codes',
    doc: 'x-envoy-retriable-status-codes',
    up: 'status:418|ok',
    headers: { 'x-envoy-retry-on': 'retriable-status-codes', 'x-envoy-retriable-status-codes': '418,419' },
  },
  {
    name: 'retry-header-names',
    doc: 'x-envoy-retriable-header-names',
    up: 'hdr:x-again=1|ok',
    headers: { 'x-envoy-retry-on': 'retriable-headers', 'x-envoy-retriable-header-names': 'x-again' },
  },
  {
    name: 'retry-grpc-on',
    doc: 'x-envoy-retry-grpc-on',
    up: 'hdr:grpc-status=14|ok',
    headers: { 'x-envoy-retry-grpc-on': 'unavailable' },
  },
  {
    name: 'max-retries-over-route',
    doc: 'x-envoy-max-retries over the policy of the route',
    up: 'status:503',
    path: '/retried',
    headers: { 'x-envoy-max-retries': '3' },
  },
  {
    name: 'timeout',
    doc: 'x-envoy-upstream-rq-timeout-ms',
    up: 'delay:400,ok',
    headers: { 'x-envoy-upstream-rq-timeout-ms': '100' },
  },
  {
    name: 'timeout-over-route',
    doc: 'The timeout header over the route timeout',
    up: 'delay:400,ok',
    path: '/timeout',
    headers: { 'x-envoy-upstream-rq-timeout-ms': '2000' },
  },
  {
    name: 'timeout-bad',
    doc: 'A timeout header that is no number',
    up: 'delay:50,ok',
    headers: { 'x-envoy-upstream-rq-timeout-ms': 'abc' },
  },
  {
    name: 'per-try-timeout',
    doc: 'x-envoy-upstream-rq-per-try-timeout-ms',
    up: 'delay:400|ok',
    headers: { 'x-envoy-upstream-rq-per-try-timeout-ms': '100', 'x-envoy-retry-on': '5xx' },
  },
  {
    name: 'alt-response',
    doc: 'x-envoy-upstream-rq-timeout-alt-response',
    up: 'delay:400,ok',
    headers: { 'x-envoy-upstream-rq-timeout-ms': '100', 'x-envoy-upstream-rq-timeout-alt-response': '1' },
  },
  {
    name: 'stream-duration',
    doc: 'x-envoy-upstream-stream-duration-ms',
    up: 'delay:400,ok',
    headers: { 'x-envoy-upstream-stream-duration-ms': '100' },
  },
  {
    name: 'hedge',
    doc: 'x-envoy-hedge-on-per-try-timeout',
    up: 'delay:180,ok|delay:500,ok',
    headers: {
      'x-envoy-hedge-on-per-try-timeout': 'true',
      'x-envoy-upstream-rq-per-try-timeout-ms': '100',
      'x-envoy-retry-on': '5xx',
    },
  },
  {
    name: 'attempt-count',
    doc: 'x-envoy-attempt-count of a caller',
    up: 'ok',
    headers: { 'x-envoy-attempt-count': '7', 'x-envoy-expected-rq-timeout-ms': '99' },
  },
]
const onEach = (listener: string, what: string): Scenario[] =>
  CASES.map(({ name, doc, up, headers, path = '/x' }) =>
    scenario(
      `${listener}-${name}`,
      `${doc}, ${what}`,
      get(path, { listener, up, headers: Object.entries(headers).map(([key, value]) => `${key}: ${value}`) }),
    ),
  )

const group: Group = {
  name: 'control-headers',
  upstreams: { a: { kind: 'http1' }, h2: { kind: 'h2' } },
  config: bootstrap(
    [
      httpListener('outside', { routes: ROUTES }),
      httpListener('inside', {
        routes: ROUTES,
        hcm: 'use_remote_address: true\ninternal_address_config: {cidr_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}',
      }),
      httpListener('respect', {
        routes: ROUTES,
        hcm: 'use_remote_address: true\ninternal_address_config: {cidr_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}',
        router:
          'respect_expected_rq_timeout: true\nstrict_check_headers: [x-envoy-upstream-rq-timeout-ms, x-envoy-retry-on, x-envoy-max-retries]',
      }),
    ],
    [cluster('a', 'a'), cluster('h2', 'h2', H2_UPSTREAM)],
  ),
  scenarios: [
    ...onEach('outside', 'from an external address'),
    ...onEach('inside', 'from an internal address'),
    scenario('inside-grpc', 'x-envoy-retry-grpc-on to a gRPC upstream', {
      kind: 'h2',
      listener: 'inside',
      streams: [
        {
          fields: fields('/h2', {
            ':method': 'POST',
            'content-type': 'application/grpc',
            te: 'trailers',
            'x-envoy-retry-grpc-on': 'unavailable',
            'x-up': 'tonly:14|grpc:0',
          }),
          body: '\0\0\0\0\x02hi',
        },
      ],
    }),
    scenario(
      'respect-expected-timeout',
      'respect_expected_rq_timeout',
      get('/x', { listener: 'respect', up: 'delay:400,ok', headers: ['x-envoy-expected-rq-timeout-ms: 100'] }),
    ),
    scenario(
      'strict-timeout',
      'strict_check_headers: a bad timeout',
      get('/x', { listener: 'respect', headers: ['x-envoy-upstream-rq-timeout-ms: abc'] }),
    ),
    scenario(
      'strict-retry-on',
      'strict_check_headers: a bad retry-on',
      get('/x', { listener: 'respect', headers: ['x-envoy-retry-on: 5xx,nonsense'] }),
    ),
    scenario(
      'strict-max-retries',
      'strict_check_headers: bad max-retries',
      get('/x', { listener: 'respect', headers: ['x-envoy-max-retries: x'] }),
    ),
  ],
}

export default group
