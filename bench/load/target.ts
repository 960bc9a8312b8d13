import type { Configuration } from './configurations/configuration.ts'
import type { PeerProgram } from './peers/peer.ts'
import type { Child } from './processes/child.ts'
import type { MemoryUse } from './result.ts'
import type { Sites } from './sites.ts'

/** One proxy that runs with one configuration. */
export interface Target {
  readonly peer: PeerProgram
  readonly configuration: Configuration
  readonly sites: Sites
  readonly process: Child
  /** From the start of the process to its being ready. */
  readonly readySeconds: number
  /** CPU that it had used by then. */
  readonly readyCpuSeconds: number
  /** What it held then: the checks that follow make it list all of its statistics. */
  readonly readyMemory: MemoryUse
}
