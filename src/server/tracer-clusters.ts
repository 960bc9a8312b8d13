import { ConfigError } from '../base/errors.ts'
import type { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'

type Zipkin = envoy.config.trace.v3.ZipkinConfig
type Tracing = envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager['tracing']

/**
 * Zipkin is the only tracer whose collector has to be a cluster by the time its listener comes (checkCluster of
 * zipkin_tracer_impl.cc); the others look for theirs when they send. `at`: of `tracing`. Throws ConfigError.
 */
export function checkTracerCluster(tracing: Tracing, at: FieldPath, hasCluster: (name: string) => boolean): void {
  const any = tracing?.provider?.typed_config
  if (any?.type_url.endsWith('/envoy.config.trace.v3.ZipkinConfig') !== true || any.message === undefined) return
  const { collector_service: service, collector_cluster } = any.message as Zipkin
  const name = service === undefined ? collector_cluster : service.http_uri?.cluster
  if (name === undefined || hasCluster(name)) return
  const place = at.field('provider').field('typed_config').any()
  const field =
    service === undefined
      ? place.field('collector_cluster')
      : place.field('collector_service').field('http_uri').field('cluster')
  throw new ConfigError('CONFIG_REFERENCE', field, `envoy.tracers.zipkin: unknown cluster '${name}'`, {
    advice:
      'a listener with this tracer comes after the cluster of its collector: define it under static_resources.clusters',
  })
}
