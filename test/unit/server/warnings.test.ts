/** A field that is accepted without effect says so in the log at start: one line per field, wherever it stands. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { FileLogSink, Loggers } from '../../../src/base/log.ts'
import { parseCommandLine } from '../../../src/cmd/options.ts'
import { registerExtensions } from '../../../src/extensions.ts'
import { configuredServer } from '../../../src/server/main.ts'

const HCM = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
const ROUTER = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router'

t.test('listeners, connection managers, filters, routes and clusters warn once per field', t => {
  registerExtensions()
  const dir = t.testdir()
  const path = join(dir, 'envoy.json')
  const retry = { retry_on: '5xx,bogus', refresh_cluster_on_retry: true }
  const routes = [{ match: { prefix: '/' }, route: { cluster: 'c', retry_policy: retry } }]
  const hcm = {
    '@type': HCM,
    stat_prefix: 'a',
    represent_ipv4_remote_address_as_ipv4_mapped_ipv6: true,
    http_filters: [{ name: 'r', typed_config: { '@type': ROUTER, suppress_grpc_request_failure_code_stats: true } }],
    route_config: { virtual_hosts: [{ name: 'v', domains: ['*'], routes }] },
  }
  writeFileSync(
    path,
    JSON.stringify({
      static_resources: {
        clusters: [
          {
            name: 'c',
            type: 'STATIC',
            track_cluster_stats: { per_endpoint_stats: true, request_response_sizes: true },
            load_assignment: { cluster_name: 'c', endpoints: [] },
          },
        ],
        listeners: [
          {
            name: 'l',
            address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
            bypass_overload_manager: true,
            filter_chains: [{ filters: [{ name: 'h', typed_config: hcm }] }],
          },
        ],
      },
    }),
  )
  const log = join(dir, 'log')
  const sink = new FileLogSink(log, '%v', false)
  const line = parseCommandLine(['-c', path, '--skip-deprecated-logs'], 'envoy')
  if (line.kind !== 'run') throw new Error('the command line is wrong')
  configuredServer(line.options, new Loggers(sink, 1), sink, () => ({ listen: async () => {}, close: () => {} }))
  const lines = readFileSync(log, 'utf8').split('\n')
  for (const field of [
    'bypass_overload_manager',
    'represent_ipv4_remote_address_as_ipv4_mapped_ipv6',
    'suppress_grpc_request_failure_code_stats',
    'refresh_cluster_on_retry',
    'track_cluster_stats.per_endpoint_stats',
    'track_cluster_stats.request_response_sizes',
    'token(s) [bogus]',
  ]) {
    t.equal(lines.filter(text => text.includes(field)).length, 1, field)
  }
  t.end()
})
