import type { LogLevel } from '../base/log.ts'

/** The command line of `envoy`, read. Names follow /server_info's command_line_options. */
export interface EnvoyOptions {
  readonly configPath: string
  readonly configYaml: string
  readonly mode: 'serve' | 'validate' | 'init_only'
  /** Number of workers, at least 1. */
  readonly concurrency: number
  readonly logLevel: LogLevel
  readonly componentLogLevels: readonly (readonly [string, LogLevel])[]
  readonly componentLogLevelText: string
  readonly logFormat: string
  /** --log-format is on the command line. */
  readonly logFormatGiven: boolean
  readonly logFormatEscaped: boolean
  readonly logPath: string
  readonly serviceNode: string
  readonly serviceCluster: string
  readonly serviceZone: string
  readonly baseId: number
  readonly useDynamicBaseId: boolean
  readonly baseIdPath: string
  readonly restartEpoch: number
  readonly disableHotRestart: boolean
  readonly adminAddressPath: string
  readonly localAddressIpVersion: 'v4' | 'v6'
  /** Seconds. */
  readonly drainTime: number
  readonly drainStrategy: 'gradual' | 'immediate'
  readonly parentShutdownTime: number
  /** Milliseconds. */
  readonly fileFlushInterval: number
  readonly fileFlushMinSizeKb: number
  readonly statsTags: readonly (readonly [string, string])[]
  readonly allowUnknownStaticFields: boolean
  readonly rejectUnknownDynamicFields: boolean
  readonly ignoreUnknownDynamicFields: boolean
  readonly skipDeprecatedLogs: boolean
  /** `category/name`. */
  readonly disabledExtensions: readonly string[]
  /** Lines for the log once it is open: flags that have no effect here. */
  readonly warnings: readonly string[]
  /** Every flag as set, for /server_info. */
  readonly raw: ReadonlyMap<string, string | boolean | readonly string[]>
}
