import type { envoy } from '../../../config/gen/messages.d.ts'
import { defineSupport } from '../../../config/support.ts'
import type { StatsSinkFactory } from '../sink.ts'
import { parseDatagramAddress } from './address.ts'
import type { StatsdStyle } from './lines.ts'
import { UdpStatsd, type UdpStatsdConfig } from './udp.ts'

/** The messages of these dialects have the same fields. */
export type TaggedProto =
  | envoy.config.metrics.v3.DogStatsdSink
  | envoy.extensions.stat_sinks.graphite_statsd.v3.GraphiteStatsdSink

/** Of the statsd dialects, when the configuration gives none. */
export const DEFAULT_PREFIX = 'envoy'

/** A dialect that has tags, over datagrams. */
export function taggedStatsd(
  name: string,
  typeUrl: string,
  tags: StatsdStyle['tags'],
): StatsSinkFactory<TaggedProto, UdpStatsdConfig> {
  const support = defineSupport<TaggedProto>(typeUrl, {
    address: 'yes',
    prefix: 'yes',
    max_bytes_per_datagram: 'yes',
    // No histogram here has another unit of time.
    scale_histogram_units_to_milliseconds: 'warn',
  })
  return {
    category: 'envoy.stats_sinks',
    name,
    typeUrls: [typeUrl],
    samples: true,
    parse(proto, at, warnings) {
      support.check(proto, at, warnings)
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
}
