import { HOT_RESTART_VERSION } from '../base/version.ts'
import type { AdminHandler } from './handler.ts'

export function hotRestartVersionHandler(disabled: boolean): AdminHandler {
  return {
    path: '/hot_restart_version',
    help: 'print the hot restart compatibility version',
    mutates: false,
    handle: () => ({ status: 200, body: disabled ? 'disabled' : HOT_RESTART_VERSION }),
  }
}
