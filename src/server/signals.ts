import type { Log } from '../base/log.ts'

export interface SignalActions {
  shutdown(): void
  reopenLogs(): void
}

/** Envoy's signals: TERM and INT end the process at once and cleanly, USR1 reopens logs, HUP is eaten. */
export function installSignals(log: Log, actions: SignalActions): void {
  process.on('SIGTERM', () => {
    log.warning('caught ENVOY_SIGTERM')
    actions.shutdown()
  })
  process.on('SIGINT', () => {
    log.warning('caught SIGINT')
    actions.shutdown()
  })
  process.on('SIGUSR1', () => {
    log.info('caught SIGUSR1. Reopening access logs.')
    actions.reopenLogs()
  })
  process.on('SIGHUP', () => {
    log.warning('caught and eating SIGHUP. See documentation for how to hot restart.')
  })
}
