import t from 'tap'
import { ConfigError } from '../../../src/base/errors.ts'
import { FieldPath } from '../../../src/config/field-path.ts'
import { readJson } from '../../../src/config/json-reader.ts'
import { checkTracerCluster } from '../../../src/server/tracer-clusters.ts'

const TRACE = 'type.googleapis.com/envoy.config.trace.v3'
const HCM = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'

/** Names the cluster that is missing; null when nothing is. */
function missing(config: object, ...there: string[]): string | null {
  const tracing = { provider: { name: 'x', typed_config: config } }
  const { message } = readJson<{ tracing?: never }>(HCM, { stat_prefix: 's', tracing })
  try {
    checkTracerCluster(message.tracing, FieldPath.root(), name => there.includes(name))
    return null
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    t.match(error.advice, 'static_resources.clusters')
    return `${error.envoyText} at ${error.path}`
  }
}

t.test('the cluster of a zipkin collector has to be there, in either form, and that of no other tracer', t => {
  const zipkin = { '@type': `${TRACE}.ZipkinConfig`, collector_endpoint_version: 'HTTP_JSON' }
  const old = { ...zipkin, collector_cluster: 'c', collector_endpoint: '/s' }
  const service = { ...zipkin, collector_service: { http_uri: { uri: 'http://x/', cluster: 'c', timeout: '1s' } } }
  t.match(missing(old), /^envoy\.tracers\.zipkin: unknown cluster 'c' at .*collector_cluster$/)
  t.match(missing(service), /^envoy\.tracers\.zipkin: unknown cluster 'c' at .*collector_service\.http_uri\.cluster$/)
  t.equal(missing(old, 'c'), null)
  t.equal(missing(service, 'c'), null)
  const grpc = { envoy_grpc: { cluster_name: 'c' } }
  t.equal(missing({ '@type': `${TRACE}.OpenTelemetryConfig`, grpc_service: grpc }), null)
  t.end()
})
