import type { Configuration } from '../configurations/configuration.ts'
import type { PeerId } from '../result.ts'
import type { Sites } from '../sites.ts'
import type { PeerProgram } from './peer.ts'

/** The real Envoy, and Remora, whose command line and configuration are the same. */
export class EnvoyPeer implements PeerProgram {
  readonly id: PeerId
  readonly title: string
  readonly version: string
  readonly extension = 'yaml'
  readonly logsToStdout = false
  readonly isEnvoy = true
  readonly #binary: string

  constructor(id: PeerId, title: string, version: string, binary: string) {
    this.id = id
    this.title = title
    this.version = version
    this.#binary = binary
  }

  cannot(): string | null {
    return null
  }

  configure(configuration: Configuration, sites: Sites): string {
    return configuration.envoy(sites)
  }

  command(file: string, sites: Sites): readonly string[] {
    const logging = ['-l', 'warning', '--file-flush-interval-msec', '1000']
    return [this.#binary, '-c', file, '--concurrency', String(sites.workers), '--disable-hot-restart', ...logging]
  }
}
