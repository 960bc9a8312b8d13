import { bootstrap, cluster, httpListener, tcpListener } from '../configs/builder.ts'
import { admin, fields, type Group, raw, requestBytes, type Step, scenario, tcp, together } from '../scenario.ts'

/** /drain_listeners: who is told to go, when, and that nobody is cut off. Each group is one drain of one process. */
const routes = '[{match: {prefix: /}, route: {cluster: up}}]'
const twice = requestBytes('/')

/** A connection that has served a request before the drain and serves another during it. */
function keptAlive(listener: string): Step {
  return raw([twice, { responses: 1 }, { wait: 500 }, twice], { listener, responses: 2, linger: 100 })
}

/** A connection that has carried nothing before the drain. */
function unused(listener: string): Step {
  return raw([{ wait: 500 }, twice], { listener, linger: 100 })
}

function late(listener: string, kind: 'http' | 'tcp' = 'http'): Step {
  return kind === 'http'
    ? raw(twice, { listener, linger: 100 })
    : tcp(listener, ['hi', { bytes: 2 }, { end: true }, { closed: true }])
}

function group(name: string, query: string, args: readonly string[]): Group {
  return {
    name,
    upstreams: { up: { kind: 'http1' }, echo: { kind: 'tcp' } },
    args,
    config: bootstrap(
      [
        httpListener('inbound', { routes, hcm: 'drain_timeout: 0.3s', listener: 'traffic_direction: INBOUND' }),
        httpListener('outbound', { routes, listener: 'traffic_direction: OUTBOUND' }),
        tcpListener('stream', 'cluster: echo', 'traffic_direction: INBOUND'),
      ],
      [cluster('up', 'up'), cluster('echo', 'echo')],
    ),
    scenarios: [
      scenario(
        'during',
        'Connections that exist go on; their next response asks them to close where their listener drains',
        [
          together(
            keptAlive('inbound'),
            unused('inbound'),
            keptAlive('outbound'),
            tcp('stream', ['one', { bytes: 3 }, { wait: 500 }, 'two', { bytes: 6 }, { end: true }, { closed: true }]),
            {
              kind: 'h2',
              listener: 'inbound',
              streams: [{ fields: fields('/') }, { fields: fields('/'), after: 500 }],
              untilClosed: false,
            },
            [700, late('inbound')],
            [700, late('outbound')],
            [700, late('stream', 'tcp')],
            [250, admin(`/drain_listeners${query}`, { method: 'POST' })],
          ),
        ],
        [],
        { unordered: true, stats: ['^http\\..*downstream_cx_drain_close', '^http\\..*cx_destroy'] },
      ),
      scenario('after', 'New connections when the drain time is over', [
        { kind: 'wait', ms: 2000 },
        late('inbound'),
        late('outbound'),
        late('stream', 'tcp'),
      ]),
    ],
  }
}

const immediate = ['--drain-strategy', 'immediate', '--drain-time-s', '2']

/** Connections that age: their end is announced, then drain_timeout passes. */
const age: Group = {
  name: 'drain-age',
  upstreams: { up: { kind: 'http1' } },
  config: bootstrap(
    [
      httpListener('old', {
        routes,
        hcm: 'drain_timeout: 0.5s\ncommon_http_protocol_options: {max_connection_duration: 0.3s}',
      }),
      httpListener('idle', { routes, hcm: 'drain_timeout: 0.5s\ncommon_http_protocol_options: {idle_timeout: 0.3s}' }),
      httpListener('counted', {
        routes,
        hcm: 'drain_timeout: 0.5s\ncommon_http_protocol_options: {max_requests_per_connection: 2}',
      }),
    ],
    [cluster('up', 'up')],
  ),
  scenarios: [
    ...(['old', 'idle', 'counted'] as const).flatMap(name => [
      scenario(`${name}-reused`, 'A request after the announcement is answered and told to close', [
        raw([twice, { responses: 1 }, { wait: 500 }, twice, { responses: 2 }, { wait: 100 }, twice], {
          listener: name,
          responses: 3,
        }),
      ]),
      scenario(`${name}-left`, 'A connection that is not used again is closed', [
        raw([twice, { responses: 1 }, { wait: 600 }], { listener: name, responses: 1, linger: 10 }),
        raw([twice, { responses: 1 }, { wait: 1500 }], { listener: name, responses: 1, linger: 10 }),
      ]),
      scenario(`${name}-unused`, 'A connection that never carried anything', [
        raw([{ wait: 600 }, twice], { listener: name, responses: 1, linger: 10 }),
      ]),
      scenario(`${name}-h2`, 'HTTP/2 is told by GOAWAY', [
        {
          kind: 'h2',
          listener: name,
          streams: [{ fields: fields('/') }, { fields: fields('/'), after: 500 }],
          untilClosed: true,
        },
      ]),
    ]),
  ],
}

export default [
  age,
  group('drain-at-once', '', immediate),
  group('drain-inbound', '?inboundonly', immediate),
  group('drain-graceful', '?graceful', immediate),
  group('drain-graceful-inbound', '?graceful&inboundonly', immediate),
  group('drain-skip-exit', '?graceful&skip_exit', immediate),
  group('drain-gradual', '?graceful', ['--drain-strategy', 'gradual', '--drain-time-s', '600']),
]
