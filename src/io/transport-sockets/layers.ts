import type { ParsedExtension } from '../../config/registry.ts'

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
