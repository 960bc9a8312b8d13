import { findFactory, type ParsedExtension } from '../../config/registry.ts'
import type { Tracer, TracerServices } from '../tracing.ts'

/**
 * One tracer per worker and provider, however many connection managers name it: they fill one buffer (Envoy:
 * Tracing::TracerManagerImpl). Those that no connection manager uses any more go with them.
 */
const known = new WeakMap<object, Map<string, WeakRef<Tracer>>>()

export function sharedTracer(provider: ParsedExtension | null, services: TracerServices): Tracer | null {
  if (provider === null) return null
  let tracers = known.get(services.clusters)
  if (tracers === undefined) {
    tracers = new Map()
    known.set(services.clusters, tracers)
  }
  const key = `${provider.typeUrl} ${JSON.stringify(provider.config)}`
  const there = tracers.get(key)?.deref()
  if (there !== undefined) return there
  for (const [old, tracer] of tracers) if (tracer.deref() === undefined) tracers.delete(old)
  const factory = findFactory('envoy.tracers', provider.typeUrl)
  if (factory === null) throw new Error(`tracer ${provider.typeUrl} was parsed but is not registered on this worker`)
  const tracer = factory.create(provider.config as never, services) as Tracer
  tracers.set(key, new WeakRef(tracer))
  return tracer
}
