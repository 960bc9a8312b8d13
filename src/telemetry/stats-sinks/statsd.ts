import type { FieldPath } from '../../config/field-path.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { defineSupport } from '../../config/support.ts'
import type { StatsSinkFactory } from './sink.ts'
import { parseDatagramAddress } from './statsd/address.ts'
import { DEFAULT_PREFIX } from './statsd/tagged.ts'
import { type TcpStatsdConfig, TcpStatsdSender, TcpStatsdSink } from './statsd/tcp.ts'
import { UdpStatsd, type UdpStatsdConfig } from './statsd/udp.ts'

type Proto = envoy.config.metrics.v3.StatsdSink

const SUPPORT = defineSupport<Proto>('envoy.config.metrics.v3.StatsdSink', {
  address: 'yes',
  tcp_cluster_name: 'yes',
  prefix: 'yes',
  // No histogram here has another unit of time.
  scale_histogram_units_to_milliseconds: 'warn',
})

/** envoy.stat_sinks.statsd: tags stay in the names. */
export const statsdFactory: StatsSinkFactory<Proto, UdpStatsdConfig | TcpStatsdConfig> = {
  category: 'envoy.stats_sinks',
  name: 'envoy.stat_sinks.statsd',
  typeUrls: ['envoy.config.metrics.v3.StatsdSink'],
  samples: true,
  parse,
  create: (config, services) =>
    'cluster' in config ? new TcpStatsdSender(config, services) : new UdpStatsd(config, services.tags),
  createSink: (config, services) =>
    'cluster' in config ? new TcpStatsdSink(config, services) : new UdpStatsd(config, services.tags),
  needs: config =>
    'cluster' in config
      ? { cluster: config.cluster, otherwise: `tcp statsd: unknown cluster '${config.cluster}'` }
      : null,
}

function parse(proto: Proto, at: FieldPath, warnings: string[]): UdpStatsdConfig | TcpStatsdConfig {
  SUPPORT.check(proto, at, warnings)
  const style = { prefix: proto.prefix || DEFAULT_PREFIX, tags: null }
  // The rules of the message make one of the two necessary.
  if (proto.address === undefined) return { style, cluster: proto.tcp_cluster_name ?? '' }
  return { style, address: parseDatagramAddress(proto.address, at.field('address')), maxBytes: 0 }
}
