/** Route match and header mutation: `node bench/micro/route.ts`. */
import { ValueReader, ValueWriter } from '../../src/base/packed-values.ts'
import { HeaderBlock } from '../../src/codec/header-block.ts'
import { FieldPath } from '../../src/config/field-path.ts'
import { parseRouteConfiguration } from '../../src/config/route.ts'
import type { Runtime } from '../../src/config/services.ts'
import type { RouteTable } from '../../src/routing/route.ts'
import type { RouteConfig } from '../../src/routing/route-config.ts'
import { createRouteTable } from '../../src/routing/route-table.ts'
import { StreamInfo } from '../../src/telemetry/stream-info.ts'
import { measure as measureRounds } from './reference.ts'

const runtime: Runtime = {
  get: () => undefined,
  integer: (_, d) => d,
  double: (_, d) => d,
  boolean: (_, d) => d,
  fraction: (_, n, d, random) => random % d < n,
}

function table(virtualHosts: readonly object[]): RouteTable {
  const proto = { name: 'r', virtual_hosts: virtualHosts } as Parameters<typeof parseRouteConfiguration>[0]
  const config = parseRouteConfiguration(proto, FieldPath.root(), {
    hasCluster: () => true,
    validateClusters: false,
    warnings: [],
  })
  // As it comes to a worker.
  return createRouteTable(new ValueReader(new ValueWriter().pack(config)).root() as RouteConfig, { runtime })
}

function request(authority: string, path: string): HeaderBlock {
  const h = new HeaderBlock()
  h.method = 'GET'
  h.path = path
  h.authority = authority
  h.list = ['user-agent', 'bench', 'accept', '*/*', 'x-request-id', 'id', 'x-forwarded-proto', 'http']
  return h
}

const info = new StreamInfo()

function measure(name: string, call: () => void, rounds = 20_000): void {
  measureRounds(
    name,
    () => {
      for (let i = 0; i < rounds; i++) call()
    },
    rounds,
  )
}

const to = (match: object): object => ({ match, route: { cluster: 'c' } })

for (const count of [1, 100, 10_000]) {
  const hosts = Array.from({ length: count }, (_, i) => ({
    name: `v${i}`,
    domains: [`svc-${i}.ns.svc.cluster.local`, `svc-${i}.ns.svc.cluster.local:80`, `svc-${i}`],
    routes: [to({ prefix: '/' })],
  }))
  const routes = table(hosts)
  const h = request(`svc-${count >> 1}.ns.svc.cluster.local`, '/api/items?id=1')
  measure(`virtual hosts: ${count}`, () => routes.route(h, info, 1))
}
for (const count of [1, 10, 100, 1000]) {
  const prefixes = Array.from({ length: count }, (_, i) => to({ prefix: `/api/v1/things-${i}/` }))
  const routes = table([{ name: 'v', domains: ['*'], routes: prefixes }])
  const h = request('a', `/api/v1/things-${count - 1}/x?id=1`)
  measure(`prefix routes: ${count}, the last matches`, () => routes.route(h, info, 1))
}
for (const count of [1, 10, 100]) {
  const regexes = Array.from({ length: count }, (_, i) => to({ safe_regex: { regex: `/api/v[0-9]+/things-${i}/.*` } }))
  const routes = table([{ name: 'v', domains: ['*'], routes: regexes }])
  const h = request('a', `/api/v1/things-${count - 1}/x?id=1`)
  measure(`regex routes: ${count}, the last matches`, () => routes.route(h, info, 1), 5000)
}
{
  const headers = [{ name: 'x-user', string_match: { exact: 'a' } }]
  const routes = table([{ name: 'v', domains: ['*'], routes: [to({ prefix: '/', headers }), to({ prefix: '/' })] }])
  const h = request('a', '/x')
  measure('a header matcher that does not match, then a prefix', () => routes.route(h, info, 1))
}
{
  const add = (key: string, value: string): object => ({
    header: { key, value },
    append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
  })
  const h = request('a', '/x')
  const context = { info, requestHeaders: h, responseHeaders: null, responseTrailers: null, localReplyBody: '' }
  const mutate = (name: string, adds: readonly object[]): void => {
    const route = { match: { prefix: '/' }, route: { cluster: 'c' }, request_headers_to_add: adds }
    const found = table([{ name: 'v', domains: ['*'], routes: [route] }]).route(h, info, 1)!
    measure(name, () => found.mutateRequest(h, context))
  }
  mutate('mutation: none', [])
  mutate('mutation: two constants overwritten', [add('x-one', '1'), add('x-two', '2')])
  mutate('mutation: two formatted values overwritten', [add('x-one', '%REQ(:path)%'), add('x-two', '%PROTOCOL% x')])
}
