import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'
import { log } from './log.ts'
import type { ProxyConfig } from './proxy-config.ts'

export interface ProxyArguments {
  readonly bootstrapPath: string
  readonly config: ProxyConfig
  readonly addressVersion: 'v4' | 'v6'
  /** `warning`, or `info,http:debug`. */
  readonly logLevel: string
  readonly componentLogLevel: string
  readonly skipDeprecatedLogs: boolean
  /** JSON text laid over the bootstrap (ISTIO_BOOTSTRAP_OVERRIDE). */
  readonly override: string | undefined
}

/** The command line Istio starts Envoy with, in its order (istio pkg/envoy/proxy.go). */
export function proxyArguments(options: ProxyArguments): string[] {
  const { config } = options
  const levels = options.logLevel.split(',').filter(part => part !== '')
  const plain = levels.findLast(part => !part.includes(':'))
  const components = levels.filter(part => part.includes(':')).join(',') || options.componentLogLevel
  return [
    '-c',
    options.bootstrapPath,
    '--drain-time-s',
    String(Math.floor(config.drainDurationMs / 1000)),
    // Clients are told as soon as the drain begins.
    '--drain-strategy',
    'immediate',
    '--local-address-ip-version',
    options.addressVersion,
    '--file-flush-interval-msec',
    String(config.fileFlushIntervalMs),
    '--disable-hot-restart',
    '--allow-unknown-static-fields',
    ...(config.fileFlushMinSizeKb > 0 ? ['--file-flush-min-size-kb', String(config.fileFlushMinSizeKb)] : []),
    ...(plain === undefined ? [] : ['-l', plain]),
    ...(components === '' ? [] : ['--component-log-level', components]),
    ...(options.skipDeprecatedLogs ? ['--skip-deprecated-logs'] : []),
    ...(options.override === undefined ? [] : ['--config-yaml', options.override]),
    ...(config.concurrency > 0 ? ['--concurrency', String(config.concurrency)] : []),
  ]
}

/** How the proxy ended. */
export interface ProxyExit {
  /** 0–255 as a shell would see it: 128 + signal number for a signal, 127 when it could not be started. */
  readonly status: number
  /** `exit status 1`, `signal: killed`; Go's words, which operators search for. */
  readonly text: string
}

export class ProxyProcess {
  readonly exited: Promise<ProxyExit>
  readonly #child: ChildProcess

  constructor(command: readonly string[], args: readonly string[], env: NodeJS.ProcessEnv) {
    log.info(`Envoy command: [${args.join(' ')}]`)
    this.#child = spawn(command[0] as string, [...command.slice(1), ...args], { stdio: 'inherit', env })
    this.exited = new Promise(resolve => {
      this.#child.once('error', (error: NodeJS.ErrnoException) =>
        resolve({ status: 127, text: `fork/exec ${command[0]}: ${goReason(error)}` }),
      )
      this.#child.once('exit', (code, signal) => resolve(describeExit(code, signal)))
    })
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }
}

/** syscall.Signal.String() */
export const GO_SIGNAL_NAMES: Readonly<Record<string, string>> = {
  SIGKILL: 'killed',
  SIGTERM: 'terminated',
  SIGSEGV: 'segmentation fault',
  SIGABRT: 'aborted',
  SIGINT: 'interrupt',
  SIGBUS: 'bus error',
  SIGILL: 'illegal instruction',
}

const GO_REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  ENOEXEC: 'exec format error',
}

function goReason(error: NodeJS.ErrnoException): string {
  return GO_REASONS[error.code ?? ''] ?? error.message
}

function describeExit(code: number | null, signal: NodeJS.Signals | null): ProxyExit {
  if (signal === null) return { status: code ?? 1, text: `exit status ${code}` }
  return { status: 128 + constants.signals[signal], text: `signal: ${GO_SIGNAL_NAMES[signal] ?? signal}` }
}
