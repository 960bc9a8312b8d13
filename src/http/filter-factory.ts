import type { ExtensionFactory } from '../config/registry.ts'
import type { WorkerServices } from '../config/services.ts'
import type { HttpFilter } from './filter.ts'

/** What an HTTP filter's `create` gets: the worker's services and the place it stands in. */
export interface HttpFilterServices extends WorkerServices {
  /** `http.<stat_prefix>.` */
  readonly httpPrefix: string
  /** The machine's own address: what call-outs of a filter name as their client. */
  readonly localAddress: string
  /** Of the listener. */
  readonly trafficDirection: 'UNSPECIFIED' | 'INBOUND' | 'OUTBOUND'
}

/** Factory of an HTTP filter: category `envoy.filters.http`. */
export interface HttpFilterFactory<P extends object, C, O = C> extends ExtensionFactory<P, C, O, HttpFilter> {
  /** Must be the last of its chain; the others must not. */
  readonly terminal?: boolean
  create(config: C, services: HttpFilterServices): HttpFilter
}
