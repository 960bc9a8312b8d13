import { bootstrap, cluster, H2_UPSTREAM, httpListener } from '../configs/builder.ts'
import { type Group, get, h2, raw, scenario } from '../scenario.ts'

/** Whatever a header may be called: of some the real proxy keeps one entry and joins what is repeated. */
const NAMES = `accept accept-charset accept-encoding accept-language accept-ranges access-control-allow-credentials
  access-control-allow-headers access-control-allow-methods access-control-allow-origin access-control-expose-headers
  access-control-max-age access-control-request-headers access-control-request-method access-control-request-private-network age
  allow alt-svc authorization baggage cache-control cdn-loop content-disposition content-encoding content-language
  content-location content-security-policy content-type date dnt etag expires forwarded from grpc-accept-encoding grpc-encoding
  grpc-message grpc-status if-match if-modified-since if-none-match if-range if-unmodified-since last-modified link location
  max-forwards origin pragma proxy-authenticate proxy-authorization proxy-status range referer retry-after server
  strict-transport-security traceparent tracestate user-agent via warning www-authenticate x-b3-sampled x-b3-traceid
  x-client-trace-id x-content-type-options x-envoy-attempt-count x-envoy-decorator-operation x-envoy-degraded
  x-envoy-downstream-service-cluster x-envoy-downstream-service-node x-envoy-external-address x-envoy-force-trace
  x-envoy-immediate-health-check-fail x-envoy-internal x-envoy-ip-tags x-envoy-original-path x-envoy-peer-metadata
  x-envoy-ratelimited x-envoy-upstream-alt-stat-name x-envoy-upstream-canary x-envoy-upstream-healthchecked-cluster
  x-envoy-upstream-service-time x-forwarded-client-cert x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto
  x-frame-options x-other x-real-ip x-request-id x-requested-with vary keep-alive sec-websocket-protocol`.split(/\s+/)

/** So many that the head has fewer than 100 headers. */
function batches(names: readonly string[], size: number): string[][] {
  return Array.from({ length: Math.ceil(names.length / size) }, (_, i) => names.slice(i * size, (i + 1) * size))
}

/** Not in HTTP/2. */
const PLAIN = NAMES.filter(name => name !== 'keep-alive')
const twice = (names: readonly string[]) => names.flatMap(name => [`${name}: one`, `${name}: two`])
const answer = (names: readonly string[]) => names.flatMap(name => [`hdr:${name}=one`, `hdr:${name}=two`]).join(',')

const ADDED = ['user-agent', 'accept-language', 'via', 'x-forwarded-for', 'x-other']
const adds = (where: string) => `${where}: [${ADDED.map(name => `{header: {key: ${name}, value: added}}`).join(', ')}]`
const ROUTES = `
- match: {prefix: /add}
  route: {cluster: a}
  ${adds('request_headers_to_add')}
  response_headers_to_add: [{header: {key: vary, value: added}}, {header: {key: x-other, value: added}}, {header: {key: etag, value: added}}]
- {match: {prefix: /h2}, route: {cluster: two}}
- {match: {prefix: /}, route: {cluster: a}}
`

const group: Group = {
  name: 'inline-headers',
  upstreams: { a: { kind: 'http1' }, two: { kind: 'h2' } },
  config: bootstrap(
    [httpListener('main', { routes: ROUTES })],
    [cluster('a', 'a'), cluster('two', 'two', H2_UPSTREAM)],
  ),
  scenarios: [
    ...batches(NAMES, 40).flatMap((names, i) => [
      scenario(`request-${i}`, 'Which headers of a request are joined', get('/', { headers: twice(names) }), [], {
        log: false,
      }),
      scenario(`response-${i}`, 'Which headers of a response are joined', get('/', { up: answer(names) }), [], {
        log: false,
      }),
    ]),
    ...batches(PLAIN, 40).flatMap((names, i) => [
      scenario(
        `h2-request-${i}`,
        'The same in HTTP/2',
        {
          kind: 'h2',
          listener: 'main',
          streams: [
            {
              fields: [
                [':method', 'GET'],
                [':scheme', 'http'],
                [':authority', 'lab.test'],
                [':path', '/h2'],
                ...names.flatMap((name): [string, string][] => [
                  [name, 'one'],
                  [name, 'two'],
                ]),
              ],
            },
          ],
        },
        [],
        { log: false },
      ),
      scenario(`h2-response-${i}`, 'The same in HTTP/2', h2('/h2', { 'x-up': answer(names) }), [], { log: false }),
    ]),
    scenario(
      'thrice',
      'Three of one name, in other cases and places',
      get('/', {
        headers: [
          'Referer:',
          'referer: 1',
          'Accept: a',
          'x-other: 1',
          'ACCEPT: b',
          'x-other: 2',
          'accept: ',
          'accept: c',
        ],
      }),
      [],
      { log: false },
    ),
    scenario(
      'folded',
      'A folded line of a repeated header',
      raw('GET / HTTP/1.1\r\nHost: lab.test\r\naccept: a\r\nx-other: 1\r\naccept: b\r\n c\r\nx-other: 2\r\n 3\r\n\r\n'),
      [],
      { log: false },
    ),
    scenario(
      'trailers',
      'Repeated trailers',
      h2('/h2', {
        'x-up':
          'trailer:grpc-status=1,trailer:grpc-status=2,trailer:grpc-message=a,trailer:grpc-message=b,trailer:etag=a,trailer:etag=b',
      }),
      [],
      { log: false },
    ),
    scenario(
      'added',
      'What a route adds is joined too',
      get('/add', { headers: ADDED.map(name => `${name}: own`), up: 'hdr:vary=own,hdr:x-other=own,hdr:etag=own' }),
      [],
      { log: false },
    ),
    scenario('added-alone', 'What a route adds where there was none', get('/add', {}), [], { log: false }),
  ],
}

export default group
