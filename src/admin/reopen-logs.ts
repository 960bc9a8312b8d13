import { type AdminHandler, OK } from './handler.ts'

export function reopenLogsHandler(reopen: () => void): AdminHandler {
  return {
    path: '/reopen_logs',
    help: 'reopen access logs',
    mutates: true,
    handle() {
      reopen()
      return OK
    },
  }
}
