import { taggedStatsd } from './statsd/tagged.ts'

/** envoy.stat_sinks.dog_statsd: tags come behind the value, `|#tag:value,…`. */
export const dogStatsdFactory = taggedStatsd('envoy.stat_sinks.dog_statsd', 'envoy.config.metrics.v3.DogStatsdSink', {
  after: 'value',
  start: '|#',
  assign: ':',
  separator: ',',
})
