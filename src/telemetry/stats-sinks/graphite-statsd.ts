import type { envoy } from '../../config/gen/messages.d.ts'
import { defineSupport } from '../../config/support.ts'
import type { StatsSinkFactory } from './sink.ts'
import { parseDatagramAddress } from './statsd/address.ts'
import { UdpStatsd, type UdpStatsdConfig } from './statsd/udp.ts'
import { DEFAULT_PREFIX } from './statsd.ts'

type Proto = envoy.extensions.stat_sinks.graphite_statsd.v3.GraphiteStatsdSink

const SUPPORT = defineSupport<Proto>('envoy.extensions.stat_sinks.graphite_statsd.v3.GraphiteStatsdSink', {
  address: 'yes',
  prefix: 'yes',
  max_bytes_per_datagram: 'yes',
  // No histogram here has another unit of time.
  scale_histogram_units_to_milliseconds: 'warn',
})

/** envoy.stat_sinks.graphite_statsd: tags come behind the name, `;tag=value`. */
export const graphiteStatsdFactory: StatsSinkFactory<Proto, UdpStatsdConfig> = {
  category: 'envoy.stats_sinks',
  name: 'envoy.stat_sinks.graphite_statsd',
  typeUrls: ['envoy.extensions.stat_sinks.graphite_statsd.v3.GraphiteStatsdSink'],
  samples: true,
  parse(proto, at, warnings) {
    SUPPORT.check(proto, at, warnings)
    const tags = { after: 'name', start: ';', assign: '=', separator: ';' } as const
    return {
      style: { prefix: proto.prefix || DEFAULT_PREFIX, tags },
      address: parseDatagramAddress(proto.address ?? {}, at.field('address')),
      maxBytes: Number(proto.max_bytes_per_datagram ?? 0),
    }
  },
  create: (config, services) => new UdpStatsd(config, services.tags),
  createSink: (config, services) => new UdpStatsd(config, services.tags),
  needs: () => null,
}
