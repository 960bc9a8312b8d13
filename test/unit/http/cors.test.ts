import t from 'tap'
import { FieldPath } from '../../../src/config/field-path.ts'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { HeadersVerdict } from '../../../src/http/filter.ts'
import { corsFactory, parseCorsPolicy } from '../../../src/http/filters/cors.ts'
import { FakeServices, FakeStream, request, response } from './fakes.ts'

type Policy = envoy.extensions.filters.http.cors.v3.CorsPolicy

const POLICY: Policy = {
  allow_origin_string_match: [{ exact: 'http://ok.test' }, { suffix: '.ok.test' }],
  allow_methods: 'GET, PUT',
  allow_headers: 'x-a',
  expose_headers: 'x-e',
  max_age: '60',
  allow_credentials: true,
}
const preflight = (origin: string, more: Record<string, string> = {}) =>
  request({ ':method': 'OPTIONS', origin, 'access-control-request-method': 'PUT', ...more })

/** Policies from the least specific level to the most specific one. */
function setup(...policies: Policy[]) {
  const services = new FakeServices()
  const filter = corsFactory.create(null, services.asServices)
  const parsed = policies.map(policy => parseCorsPolicy(policy, FieldPath.root(), []))
  const count = (name: string): number => services.stats.get(`http.main.cors.${name}`)
  return { filter, count, s: new FakeStream(filter, services, parsed) }
}

t.test('a preflight is answered with what the policy allows', async t => {
  const { s, count } = setup(POLICY)
  t.equal(s.decode(preflight('http://a.ok.test')), HeadersVerdict.StopIteration)
  t.match(s.replies, [{ status: 200, body: '', details: 'cors_response' }])
  t.same(s.replies[0]!.headers, [
    'access-control-allow-origin',
    'http://a.ok.test',
    'access-control-allow-credentials',
    'true',
    'access-control-allow-methods',
    'GET, PUT',
    'access-control-allow-headers',
    'x-a',
    'access-control-max-age',
    '60',
  ])
  t.equal(count('origin_valid'), 1)
})

t.test('a preflight of another origin goes upstream and is counted', async t => {
  const { s, count } = setup(POLICY)
  t.equal(s.decode(preflight('http://evil.test')), HeadersVerdict.Continue)
  t.same(s.replies, [])
  t.equal(count('origin_invalid'), 1)
})

t.test('forward_not_matching_preflights: false answers it without allowing anything', async t => {
  const { s } = setup({ ...POLICY, forward_not_matching_preflights: false })
  t.equal(s.decode(preflight('http://evil.test')), HeadersVerdict.StopIteration)
  t.match(s.replies, [{ status: 200, headers: [] }])
})

t.test('OPTIONS without access-control-request-method is no preflight', async t => {
  const { s } = setup(POLICY)
  t.equal(s.decode(request({ ':method': 'OPTIONS', origin: 'http://ok.test' })), HeadersVerdict.Continue)
  t.same(s.replies, [])
})

t.test('responses to allowed origins are marked, and only those', async t => {
  const { s, filter } = setup(POLICY)
  s.decode(request({ origin: 'http://ok.test' }))
  const h = response(200, { 'access-control-allow-origin': '*' })
  filter.encodeHeaders!(s.asContext, h, true)
  t.same(h.list, [
    'access-control-allow-origin',
    'http://ok.test',
    'access-control-allow-credentials',
    'true',
    'access-control-expose-headers',
    'x-e',
  ])
  for (const origin of ['http://evil.test', '']) {
    const other = setup(POLICY)
    other.s.decode(request(origin === '' ? {} : { origin }))
    const plain = response(200)
    other.filter.encodeHeaders!(other.s.asContext, plain, true)
    t.same(plain.list, [], `origin "${origin}"`)
  }
})

t.test('the most specific level that sets a field decides', async t => {
  const { s } = setup(POLICY, { allow_methods: 'DELETE', allow_credentials: false })
  s.decode(preflight('http://ok.test'))
  const { headers } = s.replies[0]!
  t.equal(headers[headers.indexOf('access-control-allow-methods') + 1], 'DELETE')
  t.notOk(headers.includes('access-control-allow-credentials'))
  t.equal(headers[headers.indexOf('access-control-max-age') + 1], '60')
})

t.test('private network access is allowed where asked for and configured', async t => {
  const asked = { 'access-control-request-private-network': 'true' }
  const yes = setup({ ...POLICY, allow_private_network_access: true }).s
  yes.decode(preflight('http://ok.test', asked))
  t.ok(yes.replies[0]!.headers.includes('access-control-allow-private-network'))
  const no = setup(POLICY).s
  no.decode(preflight('http://ok.test', asked))
  t.notOk(no.replies[0]!.headers.includes('access-control-allow-private-network'))
})

t.test('a policy that is off does nothing; a shadow one only counts', async t => {
  const off = setup({ ...POLICY, filter_enabled: { default_value: { numerator: 0 } } })
  t.equal(off.s.decode(preflight('http://ok.test')), HeadersVerdict.Continue)
  t.equal(off.count('origin_valid'), 0)
  const shadow = setup({
    ...POLICY,
    filter_enabled: { default_value: { numerator: 0 } },
    shadow_enabled: { default_value: { numerator: 100 } },
  })
  t.equal(shadow.s.decode(preflight('http://ok.test')), HeadersVerdict.Continue)
  t.equal(shadow.count('origin_valid'), 1)
})

t.test('no policy, no work', async t => {
  const { s } = setup()
  t.equal(s.decode(preflight('http://ok.test')), HeadersVerdict.Continue)
})
