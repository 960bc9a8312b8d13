import { ServerState, STATE_NAMES } from '../server/state.ts'
import type { AdminHandler } from './handler.ts'

export function readyHandler(state: () => ServerState): AdminHandler {
  return {
    path: '/ready',
    help: 'print server state, return 200 if LIVE, otherwise return 503',
    mutates: false,
    handle() {
      const now = state()
      return { status: now === ServerState.LIVE ? 200 : 503, body: `${STATE_NAMES[now]}\n` }
    },
  }
}
