import type { Configuration } from '../configurations/configuration.ts'
import type { PeerId } from '../result.ts'
import type { Sites } from '../sites.ts'

/** A proxy that takes part: how it is configured and started. */
export interface PeerProgram {
  readonly id: PeerId
  readonly title: string
  readonly version: string
  /** Null or a reason: what this proxy cannot do is left out of a case, and said in its notes. */
  cannot(configuration: Configuration): string | null
  /** Text of the configuration file. */
  configure(configuration: Configuration, sites: Sites): string
  /** Command line for the file. */
  command(file: string, sites: Sites): readonly string[]
  readonly extension: string
  /** The access log is what it prints on stdout. */
  readonly logsToStdout: boolean
  /** Has an admin port with /ready and /stats as Envoy's. */
  readonly isEnvoy: boolean
}
