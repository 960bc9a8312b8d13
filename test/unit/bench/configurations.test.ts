import t from 'tap'
import { parse } from 'yaml'
import { CASES, selectCases } from '../../../bench/load/cases/all.ts'
import type { Certificates, KeyPair } from '../../../bench/load/certificates.ts'
import type { Configuration } from '../../../bench/load/configurations/configuration.ts'
import { toYaml } from '../../../bench/load/configurations/yaml.ts'
import { HaproxyPeer } from '../../../bench/load/peers/haproxy.ts'
import { NginxPeer } from '../../../bench/load/peers/nginx.ts'
import { NodePeer } from '../../../bench/load/peers/node.ts'
import type { Sites } from '../../../bench/load/sites.ts'
import { loadBootstrap } from '../../../src/config/load.ts'

const pair: KeyPair = { cert: '/c.pem', key: '/k.pem', fingerprint: 'AA', combined: '/b.pem' }
const certificates: Certificates = { ca: '/ca.pem', rsa: pair, ec: pair, client: pair }
const sites: Sites = {
  listen: 1001,
  admin: 1002,
  log: '/access.log',
  folder: '/folder',
  workers: 1,
  upstreams: { http1: 1, http2: 2, mutualTls: 9, stub: 3, hold: 4, grpc: 5, tcp: 6, xds: 7, xdsControl: 8 },
  certificates,
}

const configurations = new Map<string, Configuration>(CASES.map(one => [one.configuration.id, one.configuration]))
// The large ones differ from the small ones in number only.
const small = [...configurations.values()].filter(one => !/\d000/.test(one.id))

t.test('the YAML that is written is the value that was given', async t => {
  const value = {
    text: 'no',
    number: 5,
    empty: {},
    none: [],
    list: ['*', { a: 'x: y', b: [{ c: '5' }, ['d', 'e']] }],
    'outbound|80||': true,
    nothing: null,
  }
  t.same(parse(toYaml({ ...value, gone: undefined }), { version: '1.1' }), value)
})

t.test('names of cases are unique and every profile has the cases of the smaller ones', async t => {
  t.equal(new Set(CASES.map(one => one.id)).size, CASES.length)
  const smoke = selectCases('smoke', [])
  t.ok(smoke.length > 5 && smoke.every(one => selectCases('standard', []).includes(one)))
  t.equal(selectCases('full', []).length, CASES.length)
})

t.test('cases are selected by the beginning of their id or by their group, from all profiles', async t => {
  t.same(
    selectCases('smoke', ['routing-', 'tcp']).map(one => one.id),
    ['tcp-small', 'routing-1', 'routing-1000', 'routing-10000'],
  )
  t.same(
    selectCases('smoke', ['routing-1']).map(one => one.id),
    ['routing-1'],
    'a whole id is that case alone',
  )
})

t.test('every configuration is a valid bootstrap without unknown fields', async t => {
  for (const configuration of small) {
    t.same(loadBootstrap({ yaml: configuration.envoy(sites), allowUnknown: true }).unknownFields, [], configuration.id)
  }
})

t.test('every configuration has stats, timeouts, retries, request ids and an access log', async t => {
  for (const configuration of small) {
    const text = configuration.envoy(sites)
    t.match(text, '/access.log', configuration.id)
    t.notMatch(text, /generate_request_id: false|suppress_envoy_headers|stats_matcher/, configuration.id)
    if (configuration.checks.kind !== 'tcp' && !configuration.id.startsWith('istio-inbound')) {
      t.match(text, /retry_policy:/, configuration.id)
      t.match(text, /timeout:/, configuration.id)
    }
  }
})

t.test('the other proxies listen where Envoy does, with log, request id and the same upstream', async t => {
  const peers = [new NginxPeer('nginx/1', null), new HaproxyPeer('HAProxy 2'), new NodePeer('node', 'v1')]
  for (const configuration of configurations.values()) {
    for (const peer of peers) {
      if (peer.cannot(configuration) !== null) continue
      const text = peer.configure(configuration, sites)
      t.match(text, '1001', `${peer.id} ${configuration.id}`)
      if (configuration.checks.tls) t.match(text, /\/[cb]\.pem/, `${peer.id} ${configuration.id}`)
      if (configuration.checks.clientCertificate) t.match(text, '/ca.pem', `${peer.id} ${configuration.id}`)
      if (peer.id !== 'node' && configuration.checks.kind === 'http')
        t.match(text, /request-id/i, `${peer.id} ${configuration.id}`)
    }
  }
})
