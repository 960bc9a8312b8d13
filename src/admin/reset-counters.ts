import { type AdminHandler, OK } from './handler.ts'

/** Counters only: gauges and histograms keep what they have. */
export function resetCountersHandler(reset: () => void): AdminHandler {
  return {
    path: '/reset_counters',
    help: 'reset all counters to zero',
    mutates: true,
    handle() {
      reset()
      return OK
    },
  }
}
