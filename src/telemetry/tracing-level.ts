import type { FractionConfig } from '../config/matcher.ts'
import { type CustomTag, compileCustomTags } from './custom-tags.ts'
import type { Formatter } from './format-context.ts'
import { compileFormat } from './formatter.ts'
import type { TracingLevelConfig } from './tracing-config.ts'

/** Sampling, tags and span names of a connection manager or of a route, compiled. */
export class TracingLevel {
  readonly client: FractionConfig
  readonly random: FractionConfig
  readonly overall: FractionConfig
  readonly tags: readonly CustomTag[]
  /** Null: not configured. A value that comes out empty leaves the span the name it has. */
  readonly operation: Formatter | null
  readonly upstreamOperation: Formatter | null

  constructor(config: TracingLevelConfig) {
    this.client = config.clientSampling
    this.random = config.randomSampling
    this.overall = config.overallSampling
    this.tags = compileCustomTags(config.customTags)
    this.operation = config.operation === '' ? null : compileFormat(config.operation, true)
    this.upstreamOperation = config.upstreamOperation === '' ? null : compileFormat(config.upstreamOperation, true)
  }
}
