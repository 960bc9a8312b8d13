import { encode, FAR, keySet, token } from '../../harness/jwt.ts'
import { bootstrap, cluster, fileLog, httpListener, LOG_FORMAT, typed } from '../configs/builder.ts'
import { type Group, get, grpc, type RequestOptions, type Step, scenario } from '../scenario.ts'

/** Tokens of requests: where they are found, how they are verified, what becomes of them, and what is said of bad ones. */
const TYPE = 'envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication'
const FORMAT = LOG_FORMAT.replace('type=', 'md=%DYNAMIC_METADATA(envoy.filters.http.jwt_authn)% type=')
const LOG = `access_log: [${JSON.stringify(fileLog(FORMAT))}]`
const JWKS = keySet(['rsa', 'p256', 'p384', 'ed', 'oct'])
const LOCAL = `local_jwks: {inline_string: '${JWKS}'}`
const jwt = (name: string, body: string, routes = '[{match: {prefix: /}, route: {cluster: a}}]') =>
  httpListener(name, { routes, hcm: LOG, filters: [typed('envoy.filters.http.jwt_authn', TYPE, body)] })
const one = (name: string, provider: string, more = '') =>
  jwt(
    name,
    `providers: {p: {issuer: lab, ${LOCAL}, ${provider}}}\nrules: [{match: {prefix: /}, requires: {provider_name: p}}]\n${more}`,
  )
const GOOD = { iss: 'lab', sub: 'me', aud: ['aud'], exp: FAR }
const rs = (payload: object, header: object = {}) => token('RS256', 'rsa', payload, header)
const bearer = (text: string, ...more: string[]): RequestOptions => ({
  headers: [`authorization: Bearer ${text}`, ...more],
})
const ask = (listener: string, options: RequestOptions = {}, path = '/'): Step => get(path, { listener, ...options })
const STATS = (name: string) => ({ stats: [`^http\\.${name}\\.jwt_authn\\.`] })

const group: Group = {
  name: 'jwt',
  upstreams: { a: { kind: 'http1' }, keys: { kind: 'http1' } },
  config: bootstrap(
    [
      one('plain', 'forward: true'),
      one(
        'removed',
        'from_params: [t], from_cookies: [c], from_headers: [{name: x-token}, {name: authorization, value_prefix: "Bearer "}]',
      ),
      one(
        'claims',
        `forward: true, forward_payload_header: x-payload, payload_in_metadata: payload, header_in_metadata: header, normalize_payload_in_metadata: {space_delimited_claims: [scope, sub]}, claim_to_headers: [{header_name: x-sub, claim_name: sub}, {header_name: x-n, claim_name: n}, {header_name: x-f, claim_name: f}, {header_name: x-b, claim_name: b}, {header_name: x-deep, claim_name: deep.er}, {header_name: x-list, claim_name: list}, {header_name: x-none, claim_name: none}]`,
      ),
      one('padded', 'forward: true, forward_payload_header: x-payload, pad_forward_payload_header: true'),
      one('audience', 'audiences: [aud, "https://api.test/"]'),
      one('skew', 'clock_skew_seconds: 4000000000'),
      one('strict', 'subjects: {prefix: m}, require_expiration: true'),
      one('lifetime', 'max_lifetime: 10s'),
      one('failures', 'failed_status_in_metadata: failed', 'strip_failure_response: true\nstat_prefix: mine'),
      one('cached', 'jwt_cache_config: {jwt_cache_size: 2}'),
      one('cors', 'forward: true', 'bypass_cors_preflight: true'),
      jwt(
        'trees',
        `
providers:
  p: {issuer: lab, ${LOCAL}, payload_in_metadata: p}
  q: {issuer: other, ${LOCAL}, payload_in_metadata: q, from_headers: [{name: x-q}]}
  any: {${LOCAL}, payload_in_metadata: any, from_headers: [{name: x-any}]}
requirement_map:
  named: {provider_name: q}
rules:
- {match: {path: /free}}
- {match: {prefix: /named}, requirement_name: named}
- {match: {prefix: /any}, requires: {requires_any: {requirements: [{provider_name: p}, {provider_name: q}]}}}
- {match: {prefix: /all}, requires: {requires_all: {requirements: [{provider_name: p}, {provider_name: q}]}}}
- {match: {prefix: /missing}, requires: {requires_any: {requirements: [{provider_name: p}, {allow_missing: {}}]}}}
- {match: {prefix: /failed}, requires: {requires_any: {requirements: [{provider_name: p}, {allow_missing_or_failed: {}}]}}}
- {match: {prefix: /only-missing}, requires: {allow_missing: {}}}
- {match: {prefix: /only-failed}, requires: {allow_missing_or_failed: {}}}
- {match: {prefix: /nested}, requires: {requires_all: {requirements: [{requires_any: {requirements: [{provider_name: p}, {allow_missing: {}}]}}, {requires_any: {requirements: [{provider_name: q}, {allow_missing: {}}]}}]}}}
- {match: {prefix: /aud}, requires: {provider_and_audiences: {provider_name: p, audiences: [special]}}}
- {match: {prefix: /issuer}, requires: {provider_name: any}}
- {match: {safe_regex: {regex: "/re.*"}, headers: [{name: x-match, present_match: true}]}, requires: {provider_name: p}}
`,
      ),
      jwt(
        'route',
        `
providers: {p: {issuer: lab, ${LOCAL}}}
requirement_map: {good: {provider_name: p}}
rules: [{match: {prefix: /}, requires: {provider_name: p}}]
`,
        `
- {match: {prefix: /off}, route: {cluster: a}, typed_per_filter_config: {envoy.filters.http.jwt_authn: {"@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig, disabled: true}}}
- {match: {prefix: /good}, route: {cluster: a}, typed_per_filter_config: {envoy.filters.http.jwt_authn: {"@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig, requirement_name: good}}}
- {match: {prefix: /wrong}, route: {cluster: a}, typed_per_filter_config: {envoy.filters.http.jwt_authn: {"@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig, requirement_name: bad}}}
- {match: {prefix: /}, route: {cluster: a}}
`,
      ),
      jwt(
        'remote',
        `
providers: {p: {issuer: lab, forward: true, remote_jwks: {http_uri: {uri: "http://keys.test/jwks?x=1", cluster: keys, timeout: 1s}}}}
rules: [{match: {prefix: /}, requires: {provider_name: p}}]
`,
      ),
      jwt(
        'nowhere',
        `
providers: {p: {issuer: lab, remote_jwks: {http_uri: {uri: "https://keys.test", cluster: dead, timeout: 1s}, retry_policy: {num_retries: 1, retry_back_off: {base_interval: 0.01s}}}}}
rules: [{match: {prefix: /}, requires: {provider_name: p}}]
`,
      ),
      httpListener('keyserver', {
        routes: `[{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: '${JWKS}'}}}]`,
        hcm: 'access_log: []',
      }),
      jwt(
        'served',
        `
providers:
  p: {issuer: lab, forward: true, remote_jwks: {http_uri: {uri: "http://keys.test/jwks", cluster: served, timeout: 1s}, cache_duration: 60s}}
  q: {issuer: other, from_headers: [{name: x-q}], remote_jwks: {http_uri: {uri: "http://keys.test/jwks", cluster: served, timeout: 1s}, cache_duration: 0.1s}}
rules:
- {match: {prefix: /q}, requires: {provider_name: q}}
- {match: {prefix: /}, requires: {provider_name: p}}
`,
      ),
      jwt(
        'ahead',
        `
providers: {p: {issuer: lab, remote_jwks: {http_uri: {uri: "http://keys.test", cluster: served, timeout: 1s}, async_fetch: {fast_listener: true, failed_refetch_duration: 0.05s}}}}
rules: [{match: {prefix: /}, requires: {provider_name: p}}]
`,
      ),
    ],
    [cluster('served', 'keyserver'), cluster('a', 'a'), cluster('keys', 'keys'), cluster('dead', 'nobody')],
  ),
  scenarios: [
    scenario(
      'algorithms',
      'Every family of signatures',
      [
        ask('plain', bearer(rs(GOOD))),
        ask('plain', bearer(token('HS256', 'oct', GOOD))),
        ask('plain', bearer(token('HS512', 'oct', GOOD))),
        ask('plain', bearer(token('EdDSA', 'ed', GOOD))),
        ask('skew', bearer(token('RS384', 'rsa', GOOD))),
        ask('skew', bearer(token('PS256', 'rsa', GOOD))),
        ask('skew', bearer(token('ES256', 'p256', GOOD))),
        ask('skew', bearer(token('ES384', 'p384', GOOD))),
      ],
      [],
      STATS('plain'),
    ),
    scenario('wrong-signatures', 'A signature of somebody else, another key, an unknown key id, a short signature', [
      ask('plain', bearer(token('RS256', 'stranger', GOOD, { kid: 'rsa' }))),
      ask('plain', bearer(token('RS256', 'rsa', GOOD, { kid: 'p256' }))),
      ask('plain', bearer(token('RS256', 'rsa', GOOD, { kid: 'unknown' }))),
      ask('plain', bearer(token('HS256', 'oct', GOOD, { alg: 'RS256', kid: 'oct' }))),
      ask('plain', bearer(`${token('EdDSA', 'ed', GOOD).split('.').slice(0, 2).join('.')}.AAAA`)),
      ask('plain', bearer(rs(GOOD, { kid: undefined }))),
    ]),
    scenario('malformed', 'Tokens that cannot be read', [
      ask('plain'),
      ask('plain', bearer('a.b')),
      ask('plain', bearer('!!.b.c')),
      ask('plain', bearer(`${encode('nojson')}.b.c`)),
      ask('plain', bearer(`${encode({})}.b.c`)),
      ask('plain', bearer(`${encode({ alg: 'none' })}.b.c`)),
      ask('plain', bearer(`${encode({ alg: 'RS256', kid: 1 })}.b.c`)),
      ask('plain', bearer(`${encode({ alg: 'RS256' })}.b_c!.c`)),
      ask('plain', bearer(`${encode({ alg: 'RS256' })}.${encode('x')}.c`)),
      ask('plain', bearer(`${encode({ alg: 'RS256' })}.${encode('[]')}.c`)),
      ask('plain', bearer(`${encode({ alg: 'RS256' })}.${encode({ iss: 'lab' })}.*`)),
      ask('plain', { headers: ['authorization: Basic abc'] }),
    ]),
    scenario('claim-types', 'Claims of the wrong type', [
      ...[
        { iss: 1 },
        { sub: 1 },
        { iat: 'x' },
        { iat: -1 },
        { nbf: '1' },
        { exp: true },
        { exp: -5 },
        { jti: 1 },
        { aud: 1 },
        { aud: [1] },
      ].map(claim => ask('plain', bearer(rs({ ...GOOD, ...claim })))),
    ]),
    scenario('times', 'Expired, not yet valid, clock skew', [
      ask('plain', bearer(rs({ ...GOOD, exp: 1 }))),
      ask('plain', bearer(rs({ ...GOOD, nbf: FAR }))),
      ask('skew', bearer(rs({ ...GOOD, exp: 1 }))),
      ask('plain', bearer(rs({ iss: 'lab' }))),
    ]),
    scenario('issuers', 'A foreign issuer, none, any', [
      ask('plain', bearer(rs({ ...GOOD, iss: 'foreign' }))),
      ask('plain', bearer(rs({ exp: FAR }))),
      ask('trees', { headers: [`x-any: ${rs({ ...GOOD, iss: 'whoever' })}`] }, '/issuer'),
    ]),
    scenario('audiences', 'Audiences, without scheme and last slash', [
      ask('audience', bearer(rs(GOOD))),
      ask('audience', bearer(rs({ ...GOOD, aud: 'http://api.test' }))),
      ask('audience', bearer(rs({ ...GOOD, aud: 'other' }))),
      ask('audience', bearer(rs({ iss: 'lab' }))),
      ask('trees', bearer(rs(GOOD)), '/aud'),
      ask('trees', bearer(rs({ ...GOOD, aud: 'special' })), '/aud'),
    ]),
    scenario('subjects-and-lifetimes', 'Subject matcher, required expiration, longest lifetime', [
      ask('strict', bearer(rs(GOOD))),
      ask('strict', bearer(rs({ ...GOOD, sub: 'x' }))),
      ask('strict', bearer(rs({ iss: 'lab', sub: 'me' }))),
      ask('lifetime', bearer(rs(GOOD))),
    ]),
    scenario('places', 'Headers, parameters, cookies; the token is taken out of the request', [
      ask('removed', bearer(rs(GOOD))),
      ask('removed', { headers: [`x-token: ${rs(GOOD)}`] }),
      ask('removed', {}, `/?b=1%41&t=${rs(GOOD)}&a=x/y`),
      ask('removed', {}, `/?t=${rs(GOOD)}`),
      ask('removed', { headers: [`cookie: x=1; c=${rs(GOOD)}`] }),
      ask('plain', {}, `/?access_token=${rs(GOOD)}`),
      ask('plain', { headers: [`authorization: Some Bearer ,${rs(GOOD)}`] }),
    ]),
    scenario('several-tokens', 'All tokens of a request must be good', [
      ask('removed', bearer(rs(GOOD), `x-token: ${rs({ ...GOOD, exp: 1 })}`)),
      ask('removed', bearer(rs({ ...GOOD, exp: 1 }), `x-token: ${rs(GOOD)}`)),
      ask('removed', bearer(rs(GOOD), `x-token: ${rs(GOOD)}`)),
      ask('removed', bearer(rs(GOOD), 'authorization: Bearer x.y.z')),
    ]),
    scenario('claims', 'Payload and claims as headers and metadata; what the client sent of them is removed', [
      ask(
        'claims',
        bearer(
          rs({
            ...GOOD,
            n: 12,
            f: 1.5,
            b: true,
            deep: { er: 'x' },
            list: [1, 'a'],
            scope: 'read  write',
            other: { a: [1] },
          }),
          'x-payload: mine',
          'x-none: mine',
          'x-sub: mine',
        ),
      ),
      ask('padded', bearer(rs({ ...GOOD, pad: 1 }))),
      ask('padded', bearer(rs({ ...GOOD, pad: 12 }))),
    ]),
    scenario('requirements', 'Any, all, nested, by name, none', [
      ask('trees', {}, '/free'),
      ask('trees', {}, '/else'),
      ask('trees', {}, '/named'),
      ask('trees', { headers: [`x-q: ${rs({ ...GOOD, iss: 'other' })}`] }, '/named/x'),
      ask('trees', {}, '/any'),
      ask('trees', bearer(rs(GOOD)), '/any'),
      ask('trees', { headers: [`x-q: ${rs({ ...GOOD, iss: 'other' })}`] }, '/any'),
      ask('trees', bearer(rs({ ...GOOD, exp: 1 })), '/any'),
      ask('trees', { headers: [`x-q: ${rs({ ...GOOD, iss: 'other', exp: 1 })}`] }, '/any'),
      ask('trees', bearer(rs({ ...GOOD, iss: 'x' })), '/any'),
      ask('trees', bearer(rs({ ...GOOD, iss: 'x' }), `x-q: ${rs({ ...GOOD, exp: 1 })}`), '/any'),
      ask('trees', bearer(rs(GOOD)), '/all'),
      ask('trees', bearer(rs(GOOD), `x-q: ${rs({ ...GOOD, iss: 'other' })}`), '/all'),
      ask('trees', {}, '/re'),
      ask('trees', { headers: ['x-match: 1'] }, '/re?x'),
    ]),
    scenario('allowances', 'Missing or bad tokens may be allowed', [
      ask('trees', {}, '/missing'),
      ask('trees', bearer(rs(GOOD)), '/missing'),
      ask('trees', bearer(rs({ ...GOOD, exp: 1 })), '/missing'),
      ask('trees', bearer(rs({ ...GOOD, iss: 'x' })), '/missing'),
      ask('trees', bearer(rs({ ...GOOD, exp: 1 })), '/failed'),
      ask('trees', {}, '/failed'),
      ask('trees', {}, '/only-missing'),
      ask('trees', bearer(rs(GOOD)), '/only-missing'),
      ask('trees', bearer(rs({ ...GOOD, exp: 1 })), '/only-missing'),
      ask('trees', bearer(rs(GOOD)), '/only-failed'),
      ask('trees', bearer(rs({ ...GOOD, exp: 1 })), '/only-failed'),
      ask('trees', {}, '/nested'),
      ask('trees', bearer(rs(GOOD)), '/nested'),
      ask('trees', bearer(rs(GOOD), `x-q: ${rs({ ...GOOD, iss: 'other' })}`), '/nested'),
      ask('trees', bearer(rs({ ...GOOD, iss: 'other' })), '/nested'),
    ]),
    scenario(
      'failure-details',
      'Failures in metadata, and responses without a reason',
      [
        ask('failures'),
        ask('failures', bearer(rs({ ...GOOD, exp: 1 }))),
        ask('failures', bearer('a.b')),
        ask('failures', bearer(rs({ ...GOOD, iss: 'x' }))),
      ],
      [],
      STATS('failures'),
    ),
    scenario(
      'cache',
      'Verified tokens are remembered',
      [
        ask('cached', bearer(rs(GOOD))),
        ask('cached', bearer(rs(GOOD))),
        ask('cached', bearer(rs({ ...GOOD, exp: 1 }))),
        ask('cached', bearer(rs({ ...GOOD, exp: 1 }))),
      ],
      [],
      STATS('cached'),
    ),
    scenario(
      'cors-preflight',
      'Preflights carry no token',
      [
        ask('cors', { method: 'OPTIONS', headers: ['origin: http://x', 'access-control-request-method: GET'] }),
        ask('cors', { method: 'OPTIONS', headers: ['origin: http://x'] }),
      ],
      [],
      STATS('cors'),
    ),
    scenario('per-route', 'Routes turn the filter off or name a requirement', [
      ask('route', {}, '/off'),
      ask('route', {}, '/good'),
      ask('route', bearer(rs(GOOD)), '/good'),
      ask('route', {}, '/wrong'),
      ask('route', {}, '/else'),
    ]),
    scenario('realm', 'www-authenticate names the request, gRPC clients get their status', [
      ask('plain', { host: 'lab.test:80' }, `/${'p'.repeat(300)}?q=1`),
      grpc('/x', {}, 'plain'),
    ]),
    scenario(
      'remote-garbage',
      'Keys are fetched when a token needs them; an answer that is no key set fails the request',
      [ask('remote'), ask('remote', bearer(rs(GOOD)))],
      [],
      { stats: ['^http\\.remote\\.jwt_authn\\.', '^cluster\\.keys\\.(upstream_rq_(total|200|2xx)|internal)'] },
    ),
    scenario(
      'remote-keys',
      'Keys are fetched once and kept as long as cache_duration says; the request waits for them with its body',
      [
        ask('served', { ...bearer(rs(GOOD)), method: 'POST', body: 'hello' }),
        ask('served', bearer(rs(GOOD))),
        ask('served', bearer(rs({ ...GOOD, exp: 1 }))),
        ask('served', { headers: [`x-q: ${rs({ ...GOOD, iss: 'other' })}`] }, '/q'),
        { kind: 'wait', ms: 250 },
        ask('served', { headers: [`x-q: ${rs({ ...GOOD, iss: 'other' })}`] }, '/q'),
      ],
      [],
      STATS('served'),
    ),
    scenario(
      'async-fetch',
      'Keys may be fetched ahead of requests',
      [ask('ahead', bearer(rs(GOOD))), { kind: 'until', stat: 'http.ahead.jwt_authn.jwks_fetch_success', value: 1 }],
      [],
      { stats: ['^http\\.ahead\\.jwt_authn\\.(allowed|denied|jwt_)'] },
    ),
    scenario('remote-unreachable', 'Keys that cannot be fetched', ask('nowhere', bearer(rs(GOOD))), [], {
      stats: [
        '^http\\.nowhere\\.jwt_authn\\.',
        '^cluster\\.dead\\.(upstream_rq_(retry|5xx|503)|upstream_cx_connect_fail|internal)',
      ],
    }),
  ],
}

export default group
