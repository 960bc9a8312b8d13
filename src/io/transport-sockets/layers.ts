import type { FieldPath } from '../../config/field-path.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { type ExtensionCategory, findFactory, type ParsedExtension, parseAny } from '../../config/registry.ts'
import type { WorkerServices } from '../../config/services.ts'

/** A parsed transport socket; one that wraps another has that as `inner` of its configuration. */
export interface TransportLayer {
  readonly typeUrl: string
  readonly config: unknown
}

export interface WrappingConfig {
  /** What the bytes go through. */
  readonly inner: ParsedExtension
}

/** The transport socket and those that it wraps, outermost first. */
export function* transportLayers(socket: TransportLayer): Generator<TransportLayer> {
  let layer: TransportLayer | undefined = socket
  while (layer !== undefined) {
    yield layer
    layer = (layer.config as Partial<WrappingConfig> | null)?.inner
  }
}

/** The configuration of the layer of that type; undefined: there is none. */
export function layerConfig<C>(socket: TransportLayer, typeUrl: string): C | undefined {
  for (const layer of transportLayers(socket)) if (layer.typeUrl === typeUrl) return layer.config as C
  return undefined
}

/** The `transport_socket` of the one at `at`. @throws ConfigError */
export function parseInner(
  socket: envoy.config.core.v3.TransportSocket | undefined,
  category: ExtensionCategory,
  at: FieldPath,
  warnings: string[],
): ParsedExtension {
  const place = at.field('transport_socket').field('typed_config')
  return parseAny(socket?.typed_config, category, socket?.name ?? '', place, warnings)
}

/** What does the work of a transport socket that only wraps another. */
export function createInner<R>({ inner }: WrappingConfig, services: WorkerServices): R {
  return findFactory(inner.category, inner.typeUrl)!.create(inner.config as never, services) as R
}
