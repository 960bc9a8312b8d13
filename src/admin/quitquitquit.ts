import { type AdminHandler, OK } from './handler.ts'

/** Exits cleanly, once the answer is on its way. */
export function quitHandler(quit: () => void): AdminHandler {
  return {
    path: '/quitquitquit',
    help: 'exit the server',
    mutates: true,
    handle: () => ({ ...OK, afterwards: quit }),
  }
}
