import t from 'tap'
import { FieldPath } from '../../../src/config/field-path.ts'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { HeadersVerdict } from '../../../src/http/filter.ts'
import { Jwks } from '../../../src/http/filters/jwt-authn/jwks.ts'
import { decodeBase64Url } from '../../../src/http/filters/jwt-authn/jwt.ts'
import { TokenCache } from '../../../src/http/filters/jwt-authn/provider.ts'
import { removeParameter, tokenParameter } from '../../../src/http/filters/jwt-authn/query.ts'
import { statusText } from '../../../src/http/filters/jwt-authn/status.ts'
import { jwtAuthnFactory } from '../../../src/http/filters/jwt-authn.ts'
import { FAR, keySet, token } from '../../harness/jwt.ts'
import { FakeServices, FakeStream, request, response } from './fakes.ts'

type Proto = envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
type Provider = envoy.extensions.filters.http.jwt_authn.v3.JwtProvider

const parse = (proto: Proto) => jwtAuthnFactory.parse(proto, FieldPath.root(), [])
const local = { issuer: 'lab', local_jwks: { inline_string: keySet(['rsa']) } }
const remote = (more: object = {}): Provider => ({
  issuer: 'lab',
  remote_jwks: { http_uri: { uri: 'http://keys.test/x', cluster: 'keys', timeout: 1000 }, ...more },
})
const rules = [{ match: { prefix: '/' }, requires: { provider_name: 'p' } }]
const GOOD = { iss: 'lab', exp: FAR }
const bearer = (text: string) => request({ authorization: `Bearer ${text}` })

function filterOf(proto: Proto, services = new FakeServices()) {
  const filter = jwtAuthnFactory.create(parse(proto), services.asServices)
  return { filter, services, stream: () => new FakeStream(filter, services) }
}

t.test('key sets that cannot be used, each with its reason', async t => {
  const rsa = JSON.parse(keySet(['rsa'])).keys[0] as Record<string, string>
  const ec = JSON.parse(keySet(['p256'])).keys[0] as Record<string, string>
  const ed = JSON.parse(keySet(['ed'])).keys[0] as Record<string, string>
  const sets: [unknown, string][] = [
    ['[]', 'Jwks is an invalid JSON'],
    [{}, 'Jwks does not have [keys] field'],
    [{ keys: 1 }, '[keys] in Jwks is not an array'],
    [{ keys: [] }, "Jwks doesn't have any valid public key"],
    [{ keys: [{}] }, '[kty] is missing in [keys]'],
    [{ keys: [{ kty: 1 }] }, '[kty] is bad in [keys]'],
    [{ keys: [{ kty: 'DSA' }] }, '[kty] is not supported in [keys]'],
    [{ keys: [{ ...rsa, alg: 'ES256' }] }, '[alg] is not started with [RS] or [PS] for an RSA key'],
    [{ keys: [{ ...rsa, n: undefined }] }, '[n] field is missing for a RSA key'],
    [{ keys: [{ ...rsa, n: 1 }] }, '[n] field is not string for a RSA key'],
    [{ keys: [{ ...rsa, e: undefined }] }, '[e] field is missing for a RSA key'],
    [{ keys: [{ ...rsa, e: 1 }] }, '[e] field is not string for a RSA key'],
    [{ keys: [{ ...rsa, n: '*' }] }, 'Jwks RSA [n] or [e] field is missing or has a parse error'],
    [
      {
        keys: [
          { ...rsa, e: 'Aw' },
          { ...rsa, e: 'BQ' },
        ],
      },
      'Jwks RSA [n] or [e] field is missing or has a parse error',
    ],
    [{ keys: [{ ...ec, alg: 'RS256' }] }, '[alg] is not started with [ES] for an EC key'],
    [{ keys: [{ ...ec, crv: 1 }] }, '[crv] field is not string for an EC key'],
    [{ keys: [{ ...ec, crv: 'P-1' }] }, '[crv] or [alg] field is not supported for an EC key'],
    [{ keys: [{ ...ec, alg: 'ES384' }] }, '[crv] field specified is not compatible with [alg] for an EC key'],
    [{ keys: [{ ...ec, x: undefined }] }, '[x] field is missing for an EC key'],
    [{ keys: [{ ...ec, y: 1 }] }, '[y] field is not string for an EC key'],
    [{ keys: [{ ...ec, y: '*' }] }, 'Jwks EC [x] or [y] field is an invalid Base64.'],
    [{ keys: [{ ...ec, y: ec['x'] }] }, 'Jwks EC [x] and [y] fields have a parse error.'],
    [{ keys: [{ kty: 'oct', alg: 'RS256', k: 'AA' }] }, '[alg] does not start with [HS] for an HMAC key'],
    [{ keys: [{ kty: 'oct' }] }, '[k] field is missing for an HMAC key'],
    [{ keys: [{ kty: 'oct', k: '' }] }, 'Jwks Oct key is an invalid Base64'],
    [{ keys: [{ ...ed, alg: 'ES256' }] }, '[alg] is not [EdDSA] for an OKP key'],
    [{ keys: [{ ...ed, crv: 'X' }] }, '[crv] field is not supported for an OKP key'],
    [{ keys: [{ ...ed, x: 'AA' }] }, 'Jwks OKP [x] field is wrong length.'],
    [{ kid: 'no certificate' }, 'X509 parse pubkey fails'],
    [{ keys: [rsa, ec, ed] }, 'OK'],
  ]
  for (const [set, text] of sets) {
    const json = typeof set === 'string' ? set : JSON.stringify(set)
    t.equal(statusText(new Jwks(json).status), text, json.slice(0, 60))
  }
  t.throws(
    () => parse({ providers: { p: { local_jwks: { inline_string: '{}' } } } }),
    /Provider 'p' in jwt_authn config/,
  )
})

t.test('base64url is strict', async t => {
  t.same(decodeBase64Url('aGk'), Buffer.from('hi'))
  t.same(decodeBase64Url('aGk='), Buffer.from('hi'))
  for (const bad of ['a', 'a+b/', 'a b', 'ab=c']) t.equal(decodeBase64Url(bad), null, bad)
})

t.test('what is not supported or makes no sense is refused', async t => {
  const refuse = (proto: Proto, text: RegExp) => t.throws(() => parse(proto), text)
  refuse({ rules: [{ match: { prefix: '/' }, requires: { provider_name: 'x' } }] }, /Required provider \['x'\]/)
  refuse(
    { requirement_map: { b: {}, a: {} }, rules: [{ match: { prefix: '/' }, requirement_name: 'x' }] },
    /Wrong requirement_name: x. It should be one of \[a,b\]/,
  )
  refuse({ rules: [{ match: { prefix: '/' }, requires: { extract_only_without_validation: {} } }] }, /is not supported/)
  refuse({ rules: [{ match: { prefix: '/', grpc: {} } }] }, /has no meaning for JWT rules/)
  const uri = { uri: 'keys', cluster: 'c', timeout: 1 }
  refuse({ providers: { p: { remote_jwks: { http_uri: uri } } } }, /Provider 'p' has an invalid URI: 'keys'/)
  refuse({ providers: { p: remote({ retry_policy: { retry_on: '5xx' } }) } }, /field 'retry_on'/)
  const interval = { base_interval: 10, max_interval: 5 }
  refuse({ providers: { p: remote({ retry_policy: { retry_back_off: interval } }) } }, /greater than or equal/)
})

t.test('filter state may choose the requirement when no rule matches', async t => {
  const { stream } = filterOf({
    providers: { p: local },
    rules: [{ match: { path: '/free' } }],
    filter_state_rules: { name: 'who', requires: { strict: { provider_name: 'p' } } },
  })
  const verdict = (state: string | null, path = '/') => {
    const s = stream()
    if (state !== null) s.info.setState('who', state)
    return s.decode(request({ ':path': path }))
  }
  t.equal(verdict(null), HeadersVerdict.Continue)
  t.equal(verdict('other'), HeadersVerdict.Continue)
  t.equal(verdict('strict'), HeadersVerdict.StopIteration)
  t.equal(verdict('strict', '/free'), HeadersVerdict.Continue)
})

t.test('a request that ends while it waits for keys is forgotten, the next one still gets them', async t => {
  let user: { onResponseHeaders: (h: object, end: boolean) => void; onResponseData: (d: Buffer, end: boolean) => void }
  let calls = 0
  const counter = { inc() {} }
  const cluster = {
    config: { http: { autoSni: false, autoSanValidation: false } },
    counters: { responseCodes: { charge() {}, chargeTime() {} }, upstreamRqTimeout: counter },
    limits: {},
    pick: () => ({ zone: '', address: { text: '10.0.0.2:80' } }),
    chargeHost() {},
    reportOutcome() {},
    httpPool: () => ({
      newStream(u: typeof user & { onPoolReady: (s: object, h: object, c: object) => void }) {
        calls++
        user = u
        u.onPoolReady({ encodeHeaders() {}, reset() {} }, { zone: '' }, { encrypted: false })
        return null
      },
    }),
  }
  const services = new FakeServices()
  Object.assign(services, { clusters: { get: () => cluster }, localAddress: '10.0.0.1' })
  const { filter, stream } = filterOf({ providers: { p: remote() }, rules }, services)
  const good = token('RS256', 'rsa', GOOD)
  const [first, second] = [stream(), stream()]
  t.equal(first.decode(bearer(good)), HeadersVerdict.StopAllAndWatermark)
  t.equal(second.decode(bearer(good)), HeadersVerdict.StopAllAndWatermark)
  t.equal(calls, 1, 'one fetch for both')
  filter.onDestroy!(first.asContext)
  user!.onResponseHeaders(response(200), false)
  user!.onResponseData(Buffer.from(keySet(['rsa'])), true)
  t.equal(first.continued, 0)
  t.equal(second.continued, 1)
  t.equal(stream().decode(bearer(good)), HeadersVerdict.Continue)
  t.equal(calls, 1)
})

t.test('the cache of tokens forgets the one that was not used for longest, and takes no long ones', async t => {
  const cache = new TokenCache(2, 10)
  const jwt = {} as never
  cache.add('a', jwt)
  cache.add('b', jwt)
  t.equal(cache.get('a'), jwt)
  cache.add('c', jwt)
  t.equal(cache.get('b'), null)
  t.equal(cache.get('a'), jwt)
  cache.add('longer than ten', jwt)
  t.equal(cache.get('longer than ten'), null)
})

t.test('a token is cut out of the query, and nothing else of the request changes', async t => {
  t.equal(removeParameter('/p?t=1', 't'), '/p')
  t.equal(removeParameter('/p?b=2&t=1&a=%41/x', 't'), '/p?a=A/x&b=2')
  t.equal(removeParameter('/p?a=1%262&b=%20&t=1&t=2', 't'), '/p?a=1%262&b=%20')
  t.equal(tokenParameter('/p?t=a%2Eb', 't'), 'a.b')
  t.equal(tokenParameter('/p', 't'), undefined)
})
