import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Comparison } from '../../../bench/compare/result.ts'
import type { BenchReport } from '../../../bench/load/result.ts'
import { REMORA, runCompare } from './compare-command.ts'

t.setTimeout(120_000)

const CERTS = join(import.meta.dirname, '../../harness/certs')
const TYPE = 'type.googleapis.com/envoy.extensions'
const folder = mkdtempSync(join(tmpdir(), 'remora-sni-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

const chain = (match: object, status: number): object => {
  const routes = [{ match: { prefix: '/' }, direct_response: { status } }]
  const manager = {
    '@type': `${TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'own',
    route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes }] },
    http_filters: [{ name: 'router', typed_config: { '@type': `${TYPE}.filters.http.router.v3.Router` } }],
  }
  const certificate = {
    certificate_chain: { filename: join(CERTS, 'server.pem') },
    private_key: { filename: join(CERTS, 'server.key') },
  }
  const transport = {
    '@type': `${TYPE}.transport_sockets.tls.v3.DownstreamTlsContext`,
    common_tls_context: { alpn_protocols: ['h2', 'http/1.1'], tls_certificates: [certificate] },
  }
  return {
    filter_chain_match: match,
    filters: [{ name: 'hcm', typed_config: manager }],
    transport_socket: { name: 'tls', typed_config: transport },
  }
}
const listener = {
  name: 'secure',
  address: { socket_address: { address: '0.0.0.0', port_value: 443 } },
  listener_filters: [
    {
      name: 'tls_inspector',
      typed_config: { '@type': `${TYPE}.filters.listener.tls_inspector.v3.TlsInspector` },
    },
  ],
  filter_chains: [chain({ server_names: ['a.test'] }, 200), chain({ server_names: ['b.test'] }, 204)],
}
writeFileSync(join(folder, 'envoy.json'), JSON.stringify({ static_resources: { listeners: [listener] } }))

const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0
const skip = !has('nginx') && 'no nginx'

t.test('filter chains by server name are measured', { skip }, async t => {
  writeFileSync(join(folder, 'urls'), 'https://a.test/x\nhttps://b.test/y\nhttps://a.test/z\n')
  const argv = ['--envoy', REMORA, '--config', 'envoy.json', '--trace', 'urls', '--rounds', '1', '--seconds', '1']
  const { status, out, errors } = await runCompare(folder, 29600, [...argv, '--json'])
  t.equal(status, 0, errors)
  const found = JSON.parse(out) as Comparison & { readonly measurement: BenchReport }
  t.same(
    found.requests.map(request => request.remora.log['code']),
    ['200', '204', '200'],
  )
  t.equal(found.measurement.cases.length, 2)
  for (const { checks, load, rounds, notes } of found.measurement.cases) {
    const all = checks.flatMap(({ checks }) => checks)
    t.ok(all.some(({ name }) => name === 'answers GET a.test/z'))
    t.same(
      all.filter(({ passed }) => !passed),
      [],
    )
    t.match(load.join(), /^open-loop .*--sni a\.test/)
    t.equal(rounds.length, 2)
    t.same(
      rounds.filter(({ unlike }) => unlike !== undefined),
      [],
      notes.join('\n'),
    )
  }
  t.match(found.measurement.cases[0]!.notes.join('\n'), /^2 of 3 requests are in the load: .* with TLS for a\.test$/m)
})
