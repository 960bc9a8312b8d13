import t from 'tap'
import { coerceUtf8 } from '../../../src/base/utf8.ts'
import { encodeMessage } from '../../../src/config/binary-writer.ts'
import { FieldPath } from '../../../src/config/field-path.ts'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { MutationRules, parseMutationRules } from '../../../src/config/mutation-rules.ts'
import { WireError } from '../../../src/config/wire-reader.ts'
import { Change, Decision } from '../../../src/http/filters/ext-authz/answer.ts'
import { readCheckResponse } from '../../../src/http/filters/ext-authz/check-response.ts'
import { parseExtAuthz, parseExtAuthzRoute } from '../../../src/http/filters/ext-authz/config.ts'
import { changeQuery, isEncoded } from '../../../src/http/filters/ext-authz/query.ts'

type Response = envoy.service.auth.v3.CheckResponse

const encode = (response: Response): Uint8Array => encodeMessage('envoy.service.auth.v3.CheckResponse', response)
const HTTP = { server_uri: { uri: 'http://a', cluster: 'c', timeout: 100 } }
const parse = (proto: object) => () => parseExtAuthz(proto, FieldPath.root(), [])

t.test('an answer is read field by field, and cut at any place it is no answer', async t => {
  const response: Response = {
    status: { code: 7 },
    denied_response: {
      status: { code: 'Unauthorized' },
      headers: [{ header: { key: 'X-Why', value: 'no' } }, { header: { key: 'gone', value: '1' }, append: true }],
      body: 'sorry',
    },
    dynamic_metadata: { a: { b: [1, 'x', null] } },
  }
  const bytes = encode(response)
  const answer = readCheckResponse(bytes)
  t.equal(answer.decision, Decision.Denied)
  t.equal(answer.status, 401)
  t.equal(answer.body, 'sorry')
  t.same(answer.headers, [{ name: 'x-why', value: 'no', change: Change.Add }])
  t.same(answer.metadata, { a: { b: [1, 'x', null] } })
  for (let length = 0; length < bytes.length; length++) {
    try {
      const part = readCheckResponse(bytes.subarray(0, length))
      t.not(part.decision, Decision.Error, 'whole fields are an answer by themselves')
    } catch (error) {
      if (!(error instanceof WireError)) throw error
    }
  }
})

t.test('an unknown append action of a response header is told', async t => {
  const action = 9 as unknown as 'ADD_IF_ABSENT'
  const headers = [{ header: { key: 'a', value: 'b' }, append_action: action }]
  t.equal(readCheckResponse(encode({ ok_response: { response_headers_to_add: headers } })).invalid, true)
  t.equal(readCheckResponse(encode({ ok_response: { headers } })).invalid, false)
})

t.test('configurations that cannot work are refused in Envoy words', async t => {
  const refused: [object, RegExp][] = [
    [{}, /an authorization service is required/],
    [{ http_service: { ...HTTP, path_prefix: 'x' } }, /path_prefix should start with "\/"\./],
    [{ http_service: { ...HTTP, path_override: 'x' } }, /path_override should start with "\/"\./],
    [
      { http_service: { ...HTTP, path_override: '/x', path_prefix: '/y' } },
      /Only one of path_prefix or path_override may be set, not both\./,
    ],
    [
      {
        http_service: { ...HTTP, authorization_request: { allowed_headers: { patterns: [] } } },
        allowed_headers: { patterns: [] },
      },
      /Invalid duplicate configuration for allowed_headers\./,
    ],
  ]
  for (const [proto, text] of refused) t.throws(parse(proto), text)
  const both = { disable_request_body_buffering: true, with_request_body: { max_request_bytes: 1 } }
  t.throws(
    () => parseExtAuthzRoute({ check_settings: both }, FieldPath.root(), []),
    /Only one of disable_request_body_buffering or with_request_body can be set/,
  )
})

t.test('mutation rules: what a service outside may change', async t => {
  const rules = (proto: object): MutationRules => new MutationRules(parseMutationRules(proto, FieldPath.root(), []))
  const plain = rules({})
  t.ok(plain.maySet('x-a', '1', false))
  t.ok(plain.maySet(':path', '/', false))
  t.notOk(plain.maySet(':path', '/', true))
  for (const name of ['host', ':authority', ':method', ':scheme', 'x-envoy-a'])
    t.notOk(plain.maySet(name, 'a', false), name)
  t.notOk(plain.maySet('x-a', 'a\r\nb: c', false))
  t.ok(plain.mayRemove('x-a'))
  for (const name of ['host', ':path', 'x-envoy-a']) t.notOk(plain.mayRemove(name), name)
  const routing = rules({ allow_all_routing: true, allow_envoy: true, disallow_system: true })
  t.ok(routing.maySet('host', 'a.test', false))
  t.notOk(routing.maySet('host', 'a test', false))
  t.notOk(routing.maySet(':path', '/', false))
  t.ok(routing.maySet('x-envoy-a', '1', false))
  t.notOk(rules({ disallow_all: true }).maySet('x-a', '1', false))
  const some = rules({
    disallow_all: true,
    allow_expression: { regex: 'x-.*' },
    disallow_expression: { regex: 'x-no' },
  })
  t.ok(some.maySet('x-a', '1', false))
  t.notOk(some.maySet('x-no', '1', false))
  t.notOk(some.maySet('a', '1', false))
})

t.test('query parameters: written anew by name, never out of their line', async t => {
  t.equal(changeQuery('/p', ['k', 'v'], []), '/p?k=v')
  t.equal(changeQuery('/p?b=1&a=2&a=3&c', ['a', '9'], ['b']), '/p?a=9&c=')
  t.equal(changeQuery('/p?x', [], ['x']), '/p')
  t.equal(changeQuery('/p', ['k', 'a b\r\nHost: x#'], []), '/p?k=a%20b%0D%0AHost:%20x%23')
  t.ok(isEncoded('a%20b') && isEncoded(''))
  t.notOk(isEncoded('a b') || isEncoded('a\n'))
})

t.test('bytes that are no UTF-8 become exclamation marks, each its own', async t => {
  const coerced = (text: string): string => coerceUtf8(Buffer.from(text, 'latin1')).toString('latin1')
  t.equal(coerced('plain'), 'plain')
  t.equal(coerced('\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80'), '\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80')
  t.equal(coerced('a\xffb\xc3'), 'a!b!')
  t.equal(coerced('\xe2\x82'), '!!')
  t.equal(coerced('\xed\xa0\x80'), '!!!')
  t.equal(coerced('\xc0\xaf'), '!!')
})
