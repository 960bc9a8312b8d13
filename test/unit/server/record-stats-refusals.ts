/**
 * Writes test/fixtures/server/stats-refusals.json: what the real Envoy ($ENVOY_BINARY, --mode validate) says to bootstraps whose
 * statistics are configured in one way or another. `node test/unit/server/record-stats-refusals.ts`
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const STATSD = 'envoy.config.metrics.v3.StatsdSink'
const DOG = 'envoy.config.metrics.v3.DogStatsdSink'
const GRAPHITE = 'envoy.extensions.stat_sinks.graphite_statsd.v3.GraphiteStatsdSink'
const SERVICE = 'envoy.config.metrics.v3.MetricsServiceConfig'
const OTLP = 'envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig'

const udp = (more: object = {}) => ({ socket_address: { address: '127.0.0.1', port_value: 9125, ...more } })
const sink = (type: string, config: object) => ({
  stats_sinks: [{ name: 'the_sink', typed_config: { '@type': `type.googleapis.com/${type}`, ...config } }],
})
const grpc = (cluster: string, more: object = {}) => ({
  grpc_service: { envoy_grpc: { cluster_name: cluster } },
  ...more,
})

const CASES: Readonly<Record<string, object>> = {
  'statsd to an address': sink(STATSD, { address: udp() }),
  'statsd to an address of TCP': sink(STATSD, { address: udp({ protocol: 'TCP' }) }),
  'statsd to a Unix socket': sink(STATSD, { address: { pipe: { path: '/tmp/statsd.sock' } } }),
  'statsd to nowhere': sink(STATSD, {}),
  'statsd to a name': sink(STATSD, { address: udp({ address: 'localhost' }) }),
  'statsd to a cluster': sink(STATSD, { tcp_cluster_name: 'here' }),
  'statsd to an unknown cluster': sink(STATSD, { tcp_cluster_name: 'elsewhere' }),
  'statsd to the empty cluster': sink(STATSD, { tcp_cluster_name: '' }),
  'dog_statsd to nowhere': sink(DOG, {}),
  'dog_statsd without room': sink(DOG, { address: udp(), max_bytes_per_datagram: 0 }),
  'graphite_statsd to nowhere': sink(GRAPHITE, {}),
  'metrics service': sink(SERVICE, grpc('here')),
  'metrics service unknown': sink(SERVICE, grpc('elsewhere', { transport_api_version: 'V3' })),
  'metrics service without a service': sink(SERVICE, {}),
  'open telemetry': sink(OTLP, grpc('here')),
  'open telemetry unknown': sink(OTLP, grpc('elsewhere')),
  'open telemetry to nowhere': sink(OTLP, {}),
  'sink without a type': { stats_sinks: [{ name: 'envoy.stat_sinks.statsd' }] },
  'sink of another type': sink('envoy.config.metrics.v3.StatsConfig', {}),
  'interval and admin': { stats_flush_interval: '5s', stats_flush_on_admin: true },
  'admin alone': { stats_flush_on_admin: true },
  'eviction with the default interval': { stats_eviction_interval: '10s' },
  'eviction at no multiple of the default interval': { stats_eviction_interval: '11s' },
  'eviction at no multiple': { stats_flush_interval: '2s', stats_eviction_interval: '3s' },
  'eviction sooner than a flush': { stats_eviction_interval: '0.001s' },
  'eviction and admin': { stats_flush_on_admin: true, stats_eviction_interval: '10s' },
}

const BASE = {
  node: { id: 'n', cluster: 'c' },
  static_resources: { clusters: [{ name: 'here', type: 'STATIC', load_assignment: { cluster_name: 'here' } }] },
}

const envoy = process.env['ENVOY_BINARY']
if (envoy === undefined) throw new Error('ENVOY_BINARY is not set')
const dir = mkdtempSync(join(tmpdir(), 'refusals-'))
const file = join(dir, 'bootstrap.json')
const recorded = Object.entries(CASES).map(([name, part]) => {
  const config = { ...BASE, ...part }
  writeFileSync(file, JSON.stringify(config))
  const run = spawnSync(envoy, ['-c', file, '--mode', 'validate', '-l', 'critical'], { encoding: 'utf8' })
  const text = run.stdout + run.stderr
  // What is before the last line is the message that broke a rule, with a random number of blanks.
  const error =
    run.status === 0
      ? ''
      : text
          .trimEnd()
          .split('\n')
          .at(-1)!
          .replace(/^.*?\.json': |^: /, '')
  return { name, config, error }
})
rmSync(dir, { recursive: true })
const target = new URL('../../fixtures/server/stats-refusals.json', import.meta.url)
writeFileSync(target, `${JSON.stringify(recorded, null, 1)}\n`)
