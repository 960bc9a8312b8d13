import { taggedStatsd } from './statsd/tagged.ts'

/** envoy.stat_sinks.graphite_statsd: tags come behind the name, `;tag=value`. */
export const graphiteStatsdFactory = taggedStatsd(
  'envoy.stat_sinks.graphite_statsd',
  'envoy.extensions.stat_sinks.graphite_statsd.v3.GraphiteStatsdSink',
  { after: 'name', start: ';', assign: '=', separator: ';' },
)
