import type { HeaderBlock } from '../codec/header-block.ts'
import type { ExtensionFactory } from '../config/registry.ts'
import type { WorkerServices } from '../config/services.ts'
import type { TagType } from './tracing-config.ts'

/**
 * A span that is under way (Envoy: Tracing::Span). All texts are latin1 strings, one char per byte, as headers are. Spans that are not
 * sampled carry on the context and nothing else: who makes tags looks at `sampled` first. Times are
 * those of the worker's clock (`Clock.now()`, `Timers.now()`). After `finish` nobody may touch it.
 */
export interface Span {
  readonly sampled: boolean
  /** Lower-case hex, as %TRACE_ID% and %SPAN_ID% print them; '' = it says none. */
  readonly traceId: string
  readonly spanId: string
  setSampled(sampled: boolean): void
  setOperation(name: string): void
  setTag(name: string, value: string): void
  setTypedTag(name: string, value: string, type: TagType): void
  log(at: number, event: string): void
  /** Writes the context into the headers of a request to the next hop. */
  inject(h: HeaderBlock): void
  /** A client span below this one, begun at `at`. */
  spawnChild(name: string, at: number): Span
  /** Ends it, and hands it to the tracer's exporter when it is sampled. */
  finish(): void
}

/** Makes spans; one serves all connection managers of a worker with the same provider. */
export interface Tracer {
  /**
   * The span of a request that came in at `at`. Null: the headers have a context that cannot be read, and Envoy leaves such requests alone.
   *
   * @param traced whether the connection manager wants it sampled; a context in the headers may decide otherwise
   */
  startSpan(h: HeaderBlock, at: number, place: SpanPlace, traced: boolean): Span | null
}

/** Where a connection manager stands: decides kind and name of its spans. */
export interface SpanPlace {
  /** traffic_direction OUTBOUND. */
  readonly egress: boolean
  /** Attempts get spans of their own. */
  readonly spawnsUpstream: boolean
}

/** What a tracer's `create` gets. */
export interface TracerServices extends WorkerServices {
  /** The machine's own address (Envoy: LocalInfo::address). */
  readonly localAddress: string
}

/** Factory of a tracer: category `envoy.tracers`. */
export interface TracerFactory<P extends object, C> extends ExtensionFactory<P, C, never, Tracer> {
  create(config: C, services: TracerServices): Tracer
}
