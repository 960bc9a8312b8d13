import t from 'tap'
import { xxHash64 } from '../../../src/base/xxhash64.ts'
import { HeaderBlock } from '../../../src/codec/header-block.ts'
import { HashPolicies } from '../../../src/routing/hash-policy.ts'
import type { HashPolicyConfig } from '../../../src/routing/route-config.ts'
import { virtualHost } from '../../../src/routing/route-table.ts'
import { seededXxHash64 } from '../../../src/routing/seeded-hash.ts'
import { StreamInfo } from '../../../src/telemetry/stream-info.ts'
import { connection } from '../telemetry/contexts.ts'
import { parse, tableOf, withRoutes } from './configs.ts'

function request(path: string, ...list: string[]): HeaderBlock {
  const h = new HeaderBlock()
  h.path = path
  h.authority = 'a'
  h.list = list
  return h
}

function policies(...hash_policy: object[]): HashPolicies {
  const config = parse(withRoutes([{ match: { prefix: '/' }, route: { cluster: 'c', hash_policy } }]))
  return new HashPolicies(virtualHost(config, 0).routes[0]!.action!.hashPolicies as readonly HashPolicyConfig[])
}

const info = new StreamInfo()
info.connection = connection('127.0.0.1:80', '10.0.0.7:4711')

t.test('weighted clusters with use_hash_policy choose as the real Envoy did', t => {
  const table = tableOf(
    withRoutes([
      {
        match: { prefix: '/' },
        route: {
          weighted_clusters: {
            use_hash_policy: true,
            clusters: [
              { name: 'c', weight: 500 },
              { name: 'c2', weight: 500 },
            ],
          },
          hash_policy: [{ header: { header_name: 'x-h' } }],
        },
      },
    ]),
  )
  const recorded: [string[], string][] = [
    [['a'], 'c2'],
    [['b'], 'c2'],
    [['abc'], 'c'],
    [['hello'], 'c2'],
    [['x1'], 'c2'],
    [['x2'], 'c'],
    [['x3'], 'c'],
    [['zz'], 'c'],
    [['a', 'b'], 'c'],
    [['b', 'a'], 'c'],
    [['x1', 'q9'], 'c'],
    [['hello', 'abc'], 'c'],
    [['1', '2', '3'], 'c2'],
  ]
  for (const [values, cluster] of recorded) {
    const h = request('/', ...values.flatMap(value => ['x-h', value]))
    t.equal(table.route(h, info, 0)?.action?.clusterName, cluster, values.join(' '))
  }
  t.end()
})

t.test('weighted clusters by header: the value is the random number, others fall back to the stream', t => {
  const clusters = [
    { name: 'c', weight: 1 },
    { name: 'c2', weight: 3 },
  ]
  const route = { weighted_clusters: { header_name: 'x-r', clusters } }
  const table = tableOf(withRoutes([{ match: { prefix: '/' }, route }]))
  const recorded: Record<string, string> = { 0: 'c', 1: 'c2', 3: 'c2', 4: 'c', 5: 'c2' }
  for (const [value, cluster] of Object.entries(recorded)) {
    t.equal(table.route(request('/', 'x-r', value), info, 0)?.action?.clusterName, cluster, value)
  }
  t.equal(table.route(request('/', 'x-r', '18446744073709551615'), info, 0)?.action?.clusterName, 'c2')
  t.equal(table.route(request('/', 'x-r', '1.5'), info, 0)?.action?.clusterName, 'c')
  t.equal(table.route(request('/', 'x-r', '1.5'), info, 1)?.action?.clusterName, 'c2')
  t.end()
})

t.test('the seeded hash is the plain one for seed 0, at every length', t => {
  for (let length = 0; length < 100; length++) {
    const text = 'abcdefghijklmnopqrstuvwxyz0123456789'.repeat(3).slice(0, length)
    t.equal(seededXxHash64(text, 0n), xxHash64(text), `${length}`)
  }
  t.end()
})

t.test('header, query and source address hash their text', t => {
  t.equal(policies({ header: { header_name: 'x-h' } }).hash(request('/', 'x-h', 'v'), info).hash, xxHash64('v'))
  const rewrite = { pattern: { regex: '([a-z]+)-.*' }, substitution: '\\1' }
  const rewritten = policies({ header: { header_name: 'x-h', regex_rewrite: rewrite } })
  t.equal(rewritten.hash(request('/', 'x-h', 'user-17'), info).hash, xxHash64('user'))
  t.equal(policies({ query_parameter: { name: 'k' } }).hash(request('/?j=1&k=v'), info).hash, xxHash64('v'))
  t.equal(policies({ connection_properties: { source_ip: true } }).hash(request('/'), info).hash, xxHash64('10.0.0.7'))
  t.equal(policies({ header: { header_name: 'x-h' } }).hash(request('/'), info).hash, null)
  t.end()
})

t.test('policies combine as rotl(old, 1) ^ new; a terminal one ends the list once there is a hash', t => {
  const one = { header: { header_name: 'x-a' } }
  const two = { header: { header_name: 'x-b' } }
  const h = request('/', 'x-a', '1', 'x-b', '2')
  const a = xxHash64('1')
  const rotated = ((a << 1n) & ((1n << 64n) - 1n)) | (a >> 63n)
  t.equal(policies(one, two).hash(h, info).hash, rotated ^ xxHash64('2'))
  t.equal(policies({ ...one, terminal: true }, two).hash(h, info).hash, a)
  t.equal(policies({ ...one, terminal: true }, two).hash(request('/', 'x-b', '2'), info).hash, xxHash64('2'))
  t.end()
})

t.test('cookie: generated with a ttl only, and for an empty value; Set-Cookie as Envoy writes it', t => {
  const attributes = [{ name: 'SameSite', value: 'Lax' }, { name: 'Secure' }]
  const made = policies({ cookie: { name: 'ck', ttl: 60_000, path: '/p', attributes } })
  t.match(
    made.hash(request('/'), info).responseCookie,
    /^ck="[0-9a-f]{1,16}"; Max-Age=60; Path=\/p; SameSite=Lax; Secure; HttpOnly$/,
  )
  t.match(made.hash(request('/', 'cookie', 'ck='), info).responseCookie, /^ck="/)
  t.same({ ...made.hash(request('/', 'cookie', 'ck=v'), info) }, { hash: xxHash64('v'), responseCookie: '' })
  const session = policies({ cookie: { name: 'ck', ttl: 0 } })
  t.match(session.hash(request('/'), info).responseCookie, /^ck="[0-9a-f]{1,16}"; HttpOnly$/)
  const never = policies({ cookie: { name: 'ck' } })
  t.same({ ...never.hash(request('/'), info) }, { hash: null, responseCookie: '' })
  t.same({ ...never.hash(request('/', 'cookie', 'ck='), info) }, { hash: null, responseCookie: '' })
  t.end()
})
