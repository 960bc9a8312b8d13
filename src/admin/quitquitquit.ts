import type { AdminHandler } from './handler.ts'

export function quitHandler(quit: () => void): AdminHandler {
  return {
    path: '/quitquitquit',
    help: 'exit the server',
    mutates: true,
    handle: () => ({ status: 200, body: 'OK\n', afterwards: quit }),
  }
}
