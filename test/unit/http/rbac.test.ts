import t from 'tap'
import { FieldPath } from '../../../src/config/field-path.ts'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { HeadersVerdict } from '../../../src/http/filter.ts'
import { compileCondition } from '../../../src/http/filters/rbac/condition.ts'
import type { ConditionConfig } from '../../../src/http/filters/rbac/rules-config.ts'
import { rbacFactory } from '../../../src/http/filters/rbac.ts'
import type { Connection } from '../../../src/io/connection.ts'
import { networkRbacFactory } from '../../../src/network/filters/rbac.ts'
import { StreamInfo } from '../../../src/telemetry/stream-info.ts'
import { FakeServices, FakeStream, request } from './fakes.ts'

type Rules = envoy.config.rbac.v3.RBAC
type Permission = envoy.config.rbac.v3.Permission
type Principal = envoy.config.rbac.v3.Principal

const ANY = [{ any: true }]
const rules = (permissions: Permission[], principals: Principal[] = ANY, action: Rules['action'] = 'ALLOW'): Rules => ({
  action,
  policies: { p: { permissions, principals } },
})
const parse = (r: Rules) => rbacFactory.parse({ rules: r }, FieldPath.root(), [])
const address = (ip: string, port: number) => ({ ip, port, text: `${ip}:${port}` })

function connection(fields: Partial<Connection> = {}): Connection {
  const remote = address('10.0.0.9', 1000)
  const local = address('10.0.0.1', 80)
  const base = { remote, local, directRemote: remote, directLocal: local, tls: null, requestedServerName: '' }
  return { ...base, ...fields } as unknown as Connection
}

function allowed(r: Rules, c = connection(), prepare: (info: StreamInfo) => void = () => undefined): boolean {
  const services = new FakeServices()
  const s = new FakeStream(rbacFactory.create(parse(r), services.asServices), services)
  s.info.connection = c
  prepare(s.info)
  return s.decode(request()) === HeadersVerdict.Continue
}

const matches = (config: ConditionConfig, c = connection(), info = new StreamInfo()): boolean =>
  compileCondition(config).matches(c, request(), info)

t.test('what a rule cannot say is refused, never left out', async t => {
  const refused: [string, () => unknown][] = [
    ['condition', () => parse({ policies: { p: { permissions: ANY, principals: ANY, condition: {} } } })],
    [
      'checked_condition',
      () => parse({ policies: { p: { permissions: ANY, principals: ANY, checked_condition: {} } } }),
    ],
    ['audit_logging_options', () => parse({ audit_logging_options: {} })],
    ['matcher', () => parse(rules([{ matcher: { name: 'm' } }]))],
    ['custom', () => parse(rules(ANY, [{ custom: { name: 'c' } }]))],
    ['matcher', () => rbacFactory.parse({ matcher: {} }, FieldPath.root(), [])],
    ['shadow_matcher', () => networkRbacFactory.parse({ shadow_matcher: {} }, FieldPath.root(), [])],
  ]
  for (const [field, run] of refused) t.throws(run, new RegExp(`field '${field}' of`), field)
})

t.test('bad ranges and addresses are refused in Envoy words', async t => {
  const range = (start: number, end: number) => () => parse(rules([{ destination_port_range: { start, end } }]))
  t.throws(range(-1, 5), /range start -1 is out of bounds/)
  t.throws(range(1, 65537), /range end 65537 is out of bounds/)
  t.throws(range(5, 5), /range start 5 cannot be greater or equal than range end 5/)
  t.throws(() => parse(rules([{ destination_ip: { address_prefix: 'here' } }])), /malformed IP address: here/)
})

t.test('connections know no headers, so rules about them are refused', async t => {
  const header = { header: { name: 'X-A', present_match: true } }
  const refused = (r: Rules) => () => networkRbacFactory.parse({ stat_prefix: 'x', rules: r }, FieldPath.root(), [])
  t.throws(refused(rules([{ and_rules: { rules: [{ not_rule: header }] } }])), /Found header\(x-a\) rule/)
  t.throws(refused(rules(ANY, [{ or_ids: { ids: [header] } }])), /not supported by RBAC network filter/)
})

t.test('filter state is matched as text, objects by what they print', async t => {
  const r = rules(ANY, [{ filter_state: { key: 'io.istio.peer_principal', string_match: { prefix: 'spiffe://a/' } } }])
  t.notOk(allowed(r))
  t.ok(allowed(r, connection(), info => info.setState('io.istio.peer_principal', 'spiffe://a/b')))
  t.notOk(allowed(r, connection(), info => info.setState('io.istio.peer_principal', 'spiffe://b')))
  t.ok(allowed(r, connection(), info => info.setState('io.istio.peer_principal', { toString: () => 'spiffe://a/c' })))
})

t.test('filter state may be an address in ranges', async t => {
  const ranges = [{ address_prefix: '10.0.0.0', prefix_len: 8 }]
  const r = (invert_match: boolean) =>
    rules(ANY, [{ filter_state: { key: 'ip', address_match: { ranges, invert_match } } }])
  const set = (value: unknown) => (info: StreamInfo) => info.setState('ip', value)
  t.ok(allowed(r(false), connection(), set('10.1.1.1')))
  t.notOk(allowed(r(false), connection(), set('11.1.1.1')))
  t.ok(allowed(r(true), connection(), set('11.1.1.1')))
  t.notOk(allowed(r(true), connection(), set('no address')))
  t.notOk(allowed(r(true)))
})

t.test('IPv6 prefixes match IPv6 addresses only, no prefix matches a Unix socket', async t => {
  const ip = (prefix: string): ConditionConfig => ({ kind: 'ip', source: 'remote', prefixes: [prefix], invert: false })
  const from = (ip: string) => connection({ remote: address(ip, 1) })
  t.ok(matches(ip('fd00::/8'), from('fd12::1')))
  t.notOk(matches(ip('::/0'), from('10.0.0.1')))
  t.notOk(matches(ip('0.0.0.0/0'), from('::1')))
  t.notOk(matches(ip('0.0.0.0/0'), from('/run/socket')))
  t.ok(matches(ip('0.0.0.0/0'), from('10.0.0.1')))
})

t.test('an empty prefix_len means every address of the family', async t => {
  t.ok(allowed(rules(ANY, [{ source_ip: { address_prefix: '1.2.3.4' } }])))
})

t.test('texts of metadata are compared as UTF-8', async t => {
  const metadata = { filter: 'f', path: [{ key: 'k' }], value: { string_match: { exact: 'é' } } }
  const r = rules(ANY, [{ metadata }])
  t.ok(allowed(r, connection(), info => info.mergeMetadata('f', { k: 'é' })))
  t.notOk(allowed(r, connection(), info => info.mergeMetadata('f', { k: 'e' })))
})

t.test('nested metadata and lists, as rules about JWT claims have them', async t => {
  const value = { list_match: { one_of: { string_match: { exact: 'admin' } } } }
  const path = [{ key: 'request.auth.claims' }, { key: 'groups' }]
  const r = rules(ANY, [{ sourced_metadata: { metadata_matcher: { filter: 'istio_authn', path, value } } }])
  const claims = (groups: unknown) => (info: StreamInfo) =>
    info.mergeMetadata('istio_authn', { 'request.auth.claims': { groups } })
  t.ok(allowed(r, connection(), claims(['user', 'admin'])))
  t.notOk(allowed(r, connection(), claims(['user'])))
  t.notOk(allowed(r, connection(), claims('admin')))
})

t.test('a policy without a matching principal does not deny', async t => {
  t.ok(allowed(rules(ANY, [{ direct_remote_ip: { address_prefix: '1.1.1.1', prefix_len: 32 } }], 'DENY')))
})
