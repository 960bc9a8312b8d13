import { bootstrap, cluster, H2_UPSTREAM, httpListener } from '../configs/builder.ts'
import {
  type Group,
  get,
  grpc,
  h2,
  raw,
  requestBytes,
  type Scenario,
  type Step,
  scenario,
  together,
} from '../scenario.ts'

/** Timeouts, retries, hedging, circuit breakers. */
const FAST = 'retry_back_off: {base_interval: 0.005s, max_interval: 0.01s}'
const retry = (path: string, on: string, more = '', route = '') =>
  `- {match: {path: ${path}}, route: {cluster: a, ${route} retry_policy: {retry_on: "${on}", ${FAST}${more === '' ? '' : `, ${more}`}}}}`
const ROUTES = `
- {match: {path: /to}, route: {cluster: a, timeout: 0.15s}}
- {match: {path: /to0}, route: {cluster: a, timeout: 0s}}
- {match: {path: /ptn}, route: {cluster: a, retry_policy: {per_try_timeout: 0.1s}}}
${retry('/ptt', 'gateway-error', 'per_try_timeout: 0.1s, num_retries: 1')}
${retry('/ptidle', '5xx', 'per_try_idle_timeout: 0.1s, num_retries: 1')}
${retry('/tortry', '5xx', 'num_retries: 5, per_try_timeout: 0.1s', 'timeout: 0.25s,')}
- {match: {path: /maxdur}, route: {cluster: a, max_stream_duration: {max_stream_duration: 0.15s}}}
- {match: {path: /grpcdur}, route: {cluster: a, max_stream_duration: {grpc_timeout_header_max: 0.4s}}}
- {match: {path: /idle}, route: {cluster: a, idle_timeout: 0.15s}}
${retry('/5xx', '5xx', 'num_retries: 2')}
${retry('/5xx1', '5xx')}
${retry('/gateway', 'gateway-error', 'num_retries: 2')}
${retry('/reset', 'reset', 'num_retries: 2')}
${retry('/resetbefore', 'reset-before-request', 'num_retries: 2')}
${retry('/4xx', 'retriable-4xx', 'num_retries: 2')}
${retry('/codes', 'retriable-status-codes', 'num_retries: 2, retriable_status_codes: [418, 429]')}
${retry('/headers', 'retriable-headers', 'num_retries: 2, retriable_headers: [{name: x-retry, string_match: {exact: "yes"}}]')}
${retry('/reqheaders', '5xx', 'num_retries: 2, retriable_request_headers: [{name: x-may-retry, present_match: true}]')}
${retry('/ratelimited', 'envoy-ratelimited', 'num_retries: 1')}
${retry('/grpc', 'unavailable,cancelled,deadline-exceeded,resource-exhausted,internal', 'num_retries: 2')}
${retry('/ruf', 'connect-failure', 'num_retries: 2').replace('cluster: a', 'cluster: closed')}
${retry('/ruf-no', '5xx', 'num_retries: 2').replace('cluster: a', 'cluster: closed')}
${retry('/other-host', 'connect-failure', 'num_retries: 3, retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts, typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}], host_selection_retry_max_attempts: 5').replace('cluster: a', 'cluster: half')}
${retry('/refused', 'refused-stream', 'num_retries: 2').replace('cluster: a', 'cluster: h2')}
${retry('/h2reset', 'reset', 'num_retries: 2').replace('cluster: a', 'cluster: h2')}
${retry('/h23', 'http3-post-connect-failure,5xx', 'num_retries: 1')}
- {match: {path: /ratebackoff}, route: {cluster: a, retry_policy: {retry_on: 5xx, num_retries: 1, rate_limited_retry_back_off: {reset_headers: [{name: retry-after, format: SECONDS}], max_interval: 0.05s}}}}
${retry('/rbud', '5xx', 'num_retries: 2').replace('cluster: a', 'cluster: cb_retry')}
${retry('/budget', '5xx', 'num_retries: 2').replace('cluster: a', 'cluster: cb_budget')}
${retry('/hedge', '5xx', 'num_retries: 1, per_try_timeout: 0.1s', 'hedge_policy: {hedge_on_per_try_timeout: true},')}
${retry('/buffer', '5xx', 'num_retries: 2')}
- {match: {path: /r5}, route: {cluster: a, prefix_rewrite: /re, retry_policy: {retry_on: 5xx, num_retries: 2, ${FAST}}}}
- {match: {path: /cbreq}, route: {cluster: cb_req}}
- {match: {path: /cbpend}, route: {cluster: cb_pend}}
- {match: {path: /cbconn}, route: {cluster: cb_conn}}
- {match: {path: /cbhigh}, route: {cluster: cb_req, priority: HIGH}}
- {match: {path: /attempts}, route: {cluster: a, retry_policy: {retry_on: 5xx, num_retries: 2, ${FAST}}}}
- {match: {path: /shared}, route: {cluster: a}}
- {match: {prefix: /h2}, route: {cluster: h2}}
- {match: {prefix: /plain}, route: {cluster: a}}
`
const ask = (path: string, up: string, headers: string[] = []) => get(path, { up, headers })
const breakers = (threshold: string) => `circuit_breakers: {thresholds: [{${threshold}}]}`
const cb = (name: string) => [
  `^cluster\\.${name}\\.(circuit_breakers|upstream_rq_(pending_overflow|active_overflow|retry|503|total|completed))`,
]
const one = (name: string, doc: string, step: Step | Step[], covers: string[] = []): Scenario =>
  scenario(name, doc, step, covers)
const retryStats = [
  '^cluster\\.a\\.upstream_rq_(retry|timeout|per_try|total|completed|5xx|2xx|rx_reset)',
  '^cluster\\.a\\.retry_or_shadow',
]

const group: Group = {
  name: 'resilience',
  upstreams: { a: { kind: 'http1' }, b: { kind: 'http1' }, h2: { kind: 'h2' } },
  config: bootstrap(
    [
      httpListener('main', { routes: ROUTES }),
      httpListener('attempts', {
        vhosts: `[{name: all, domains: ["*"], include_request_attempt_count: true, include_attempt_count_in_response: true, include_is_timeout_retry_header: true, retry_policy: {retry_on: 5xx, num_retries: 2, ${FAST}, per_try_timeout: 0.1s}, routes: [{match: {path: /uf}, route: {cluster: closed}}, {match: {prefix: /}, route: {cluster: a}}]}]`,
      }),
      httpListener('smallbuffer', {
        routes: `[{match: {prefix: /}, route: {cluster: a, retry_policy: {retry_on: 5xx, num_retries: 2, ${FAST}}}, request_body_buffer_limit: 100}]`,
      }),
      httpListener('suppressed', {
        router: 'suppress_envoy_headers: true',
        hcm: 'use_remote_address: true',
        routes:
          '[{match: {path: /cb}, route: {cluster: cb_req}}, {match: {path: /uh}, route: {cluster: empty}}, {match: {prefix: /}, route: {cluster: a, prefix_rewrite: /x}}]',
      }),
    ],
    [
      cluster('a', 'a'),
      cluster('closed', 'nobody'),
      cluster('empty', []),
      cluster('half', ['nobody', 'b'], 'typed_extension_protocol_options: {}'),
      cluster('h2', 'h2', H2_UPSTREAM),
      cluster('cb_req', 'a', breakers('max_requests: 0')),
      cluster('cb_pend', 'a', breakers('max_pending_requests: 0')),
      cluster('cb_conn', 'a', breakers('max_connections: 1, max_pending_requests: 1')),
      cluster('cb_retry', 'a', breakers('max_retries: 0')),
      cluster('cb_budget', 'a', breakers('retry_budget: {budget_percent: {value: 0}, min_retry_concurrency: 0}')),
    ],
  ),
  scenarios: [
    one('route-timeout', 'The route timeout', ask('/to', 'delay:500'), ['route timeout']),
    one('route-timeout-grpc', 'The same to a gRPC client', grpc('/to', { 'x-up': 'delay:500' }), [
      'grpc route timeout',
    ]),
    one('route-timeout-in-body', 'The route timeout while the answer is sent', ask('/to', 'slow:500'), [
      'route timeout after response headers',
    ]),
    one('route-timeout-in-body-h2', 'The same over HTTP/2', h2('/to', { 'x-up': 'slow:500' }), [
      'h2 route timeout after headers',
    ]),
    one('route-timeout-off', 'timeout: 0s', ask('/to0', 'delay:300,ok')),
    one(
      'route-timeout-upload',
      'The timeout starts when the request is complete',
      raw(['POST /to HTTP/1.1\r\nHost: lab.test\r\ncontent-length: 4\r\n\r\nab', { wait: 250 }, 'cd']),
    ),
    one('per-try-timeout', 'A per-try timeout and one retry', ask('/ptt', 'delay:400'), ['per-try timeout, 1 retry']),
    one('per-try-timeout-grpc', 'The same to a gRPC client', grpc('/ptt', { 'x-up': 'delay:400' }), ['grpc per-try']),
    one('per-try-timeout-then-ok', 'The retry answers in time', ask('/ptt', 'delay:400|ok')),
    one('per-try-timeout-alone', 'A per-try timeout without retry_on', ask('/ptn', 'delay:400'), [
      'per-try timeout, no retry_on',
    ]),
    one('per-try-idle', 'per_try_idle_timeout', ask('/ptidle', 'delay:400'), ['per-try idle timeout']),
    one('timeout-while-retrying', 'The route timeout ends all tries', ask('/tortry', 'delay:400'), [
      'route timeout while retrying',
    ]),
    one('max-stream-duration', 'max_stream_duration of the route', ask('/maxdur', 'delay:400'), [
      'max_stream_duration route',
    ]),
    one('max-stream-duration-grpc', 'The same to a gRPC client', grpc('/maxdur', { 'x-up': 'delay:400' }), [
      'grpc maxdur',
    ]),
    one(
      'grpc-timeout',
      'grpc-timeout within grpc_timeout_header_max',
      grpc('/grpcdur', { 'x-up': 'delay:700', 'grpc-timeout': '100m' }),
    ),
    one(
      'grpc-timeout-capped',
      'A longer grpc-timeout is capped',
      grpc('/grpcdur', { 'x-up': 'delay:700', 'grpc-timeout': '9S' }),
    ),
    one('idle-before-headers', 'idle_timeout of the route before headers', ask('/idle', 'delay:400'), [
      'route idle timeout before headers',
    ]),
    one('idle-before-headers-grpc', 'The same to a gRPC client', grpc('/idle', { 'x-up': 'delay:400' }), ['grpc idle']),
    one('idle-in-body', 'idle_timeout of the route in the body', ask('/idle', 'slow:400'), [
      'route idle timeout mid body',
    ]),
    scenario('retry-5xx', '5xx: retried until OK', ask('/5xx', 'status:503|status:500|ok'), [], { stats: retryStats }),
    scenario(
      'retry-5xx-exhausted',
      '5xx: the last answer passes with URX',
      ask('/5xx', 'status:503'),
      ['retries exhausted on 503'],
      { stats: retryStats },
    ),
    one('retry-5xx-exhausted-grpc', 'The same to a gRPC client', grpc('/5xx', { 'x-up': 'status:503' }), [
      'grpc URX 503',
    ]),
    one('retry-default-count', 'One retry by default', ask('/5xx1', 'status:503')),
    one('retry-not-4xx', '5xx does not retry 404', ask('/5xx', 'status:404|ok')),
    one('retry-5xx-on-close', '5xx retries a closed connection', ask('/5xx', 'close|ok')),
    one('retry-5xx-connect', '5xx retries a refused connection', get('/ruf-no')),
    one('retry-gateway', 'gateway-error: 502 to 504', [
      ask('/gateway', 'status:502|ok'),
      ask('/gateway', 'status:500|ok'),
    ]),
    one('retry-reset', 'reset: no answer at all', [ask('/reset', 'close|ok'), ask('/reset', 'rst|ok')]),
    one('retry-reset-exhausted', 'reset: all tries fail', ask('/reset', 'close'), ['retries exhausted on reset']),
    one('retry-reset-not-after-headers', 'reset: not once headers were sent', ask('/reset', 'partial|ok')),
    one(
      'retry-reset-before-request',
      'reset-before-request: not once the request was sent',
      ask('/resetbefore', 'close|ok'),
    ),
    one('retry-4xx', 'retriable-4xx: only 409', [ask('/4xx', 'status:409|ok'), ask('/4xx', 'status:404|ok')]),
    one('retry-4xx-exhausted', 'retriable-4xx: all tries fail', ask('/4xx', 'status:409'), ['retriable-4xx exhausted']),
    one('retry-codes', 'retriable-status-codes', [ask('/codes', 'status:418|ok'), ask('/codes', 'status:503|ok')]),
    one('retry-headers', 'retriable-headers', [
      ask('/headers', 'hdr:x-retry=yes|ok'),
      ask('/headers', 'hdr:x-retry=no|ok'),
    ]),
    one('retry-request-headers', 'retriable_request_headers', [
      ask('/reqheaders', 'status:503|ok', ['x-may-retry: 1']),
      ask('/reqheaders', 'status:503|ok'),
    ]),
    one('retry-ratelimited', 'envoy-ratelimited', [
      ask('/ratelimited', 'status:503,hdr:x-envoy-ratelimited=true|ok'),
      ask('/ratelimited', 'status:503|ok'),
    ]),
    one(
      'retry-ratelimited-not-5xx',
      '5xx does not retry x-envoy-ratelimited',
      ask('/5xx', 'status:503,hdr:x-envoy-ratelimited=true|ok'),
    ),
    one('retry-connect-failure', 'connect-failure: all tries refused', get('/ruf'), [
      'retries exhausted on connect failure',
    ]),
    scenario(
      'retry-other-host',
      'previous_hosts: the retry goes to another host',
      [get('/other-host'), get('/other-host')],
      [],
      {
        upstream: false,
        stats: ['^cluster\\.half\\.upstream_rq_2xx$'],
        log: false,
      },
    ),
    one('retry-refused-stream', 'refused-stream', [
      get('/refused', { up: 'rst:7|ok' }),
      get('/refused', { up: 'rst:2|ok' }),
    ]),
    one('retry-refused-exhausted', 'refused-stream: all tries', get('/refused', { up: 'rst:7' })),
    one('retry-h2-reset', 'reset: RST_STREAM', get('/h2reset', { up: 'rst:2|ok' })),
    one('retry-goaway', 'A stream that GOAWAY excludes', get('/h2reset', { up: 'goawayrefuse|ok' })),
    one('retry-grpc', 'gRPC statuses in headers', [
      grpc('/grpc', { 'x-up': 'hdr:grpc-status=14|ok' }),
      grpc('/grpc', { 'x-up': 'hdr:grpc-status=5|ok' }),
      grpc('/grpc', { 'x-up': 'hdr:grpc-status=8|ok' }),
    ]),
    one('retry-rate-limited-backoff', 'rate_limited_retry_back_off', [
      ask('/ratebackoff', 'status:503,hdr:retry-after=0|ok'),
      ask('/ratebackoff', 'status:503,hdr:retry-after=30|ok'),
    ]),
    scenario(
      'retry-breaker',
      'max_retries: 0 lets the answer pass with UO',
      ask('/rbud', 'status:503'),
      ['retry blocked by max_retries=0'],
      { stats: cb('cb_retry') },
    ),
    scenario('retry-budget', 'A retry budget of nothing', ask('/budget', 'status:503'), [], { stats: cb('cb_budget') }),
    one('retry-body', 'The body is sent again', get('/5xx', { method: 'POST', body: 'hello', up: 'status:503|ok' })),
    one(
      'retry-body-too-large',
      'A body over the buffer limit is not retried',
      get('/x', { listener: 'smallbuffer', method: 'POST', body: 'y'.repeat(500), up: 'status:503|ok' }),
    ),
    one('retry-large-response', 'The body of a retried answer is dropped', ask('/5xx', 'status:503,body:100000|ok')),
    one(
      'retry-upload-incomplete',
      'A retry before the request is complete',
      raw([
        'POST /5xx HTTP/1.1\r\nHost: lab.test\r\nx-up: early,status:503|ok\r\ncontent-length: 4\r\n\r\nab',
        { wait: 100 },
        'cd',
      ]),
    ),
    scenario(
      'hedge',
      'A hedge on per-try timeout: the first try may still win',
      ask('/hedge', 'delay:180,ok|delay:400,ok'),
      [],
      { stats: ['^cluster\\.a\\.upstream_rq_(retry|per_try_timeout|timeout)'] },
    ),
    scenario('hedge-second-wins', 'A hedge whose second try answers first', ask('/hedge', 'delay:600,ok|ok')),
    one(
      'attempt-count',
      'Attempt counts in request and answer',
      get('/x', { listener: 'attempts', up: 'status:503' }),
      ['retry attempts header (L2 include_attempt_count)'],
    ),
    one(
      'attempt-count-timeout',
      'is-timeout-retry after a per-try timeout',
      get('/x', { listener: 'attempts', up: 'delay:300|ok' }),
    ),
    one('attempt-count-local', 'A local reply has an attempt count', get('/uf', { listener: 'attempts' }), [
      'UF on L2',
    ]),
    scenario('breaker-requests', 'max_requests: 0', get('/cbreq'), ['circuit breaker max_requests=0'], {
      stats: cb('cb_req'),
    }),
    one('breaker-requests-grpc', 'The same to a gRPC client', grpc('/cbreq'), ['grpc UO']),
    one('breaker-high-priority', 'Another priority has its own limits', get('/cbhigh')),
    scenario('breaker-pending', 'max_pending_requests: 0', get('/cbpend'), ['circuit breaker max_pending=0'], {
      stats: cb('cb_pend'),
    }),
    scenario(
      'breaker-connections',
      'One connection and one pending request: the third gets 503',
      together(ask('/cbconn', 'delay:200,ok'), [40, ask('/cbconn', 'ok')], [80, get('/cbconn')]),
      ['circuit breaker 3rd concurrent (1 conn,1 pending)'],
      { unordered: true, stats: cb('cb_conn') },
    ),
    one(
      'suppressed-overflow',
      'suppress_envoy_headers hides x-envoy-overloaded',
      get('/cb', { listener: 'suppressed' }),
      ['cb overflow on L7 suppress'],
    ),
    one('suppressed-unhealthy', 'suppress_envoy_headers on a local reply', get('/uh', { listener: 'suppressed' }), [
      'UH on L7 suppress_envoy_headers',
    ]),
    one(
      'upstream-reuse',
      'Requests one after the other reuse a connection',
      raw(
        [
          requestBytes('/plain'),
          { responses: 1 },
          requestBytes('/plain', { up: 'connclose' }),
          { responses: 2 },
          requestBytes('/plain'),
        ],
        { responses: 3 },
      ),
    ),
    scenario(
      'downstream-closes-while-retrying',
      'A client that leaves ends the tries',
      raw([requestBytes('/ptt', { up: 'delay:300' }), { wait: 50 }, { reset: true }], { responses: 0 }),
      [],
      { logLines: 1 },
    ),
  ],
}

export default group
