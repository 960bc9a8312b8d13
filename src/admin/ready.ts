import type { AdminHandler } from './handler.ts'

/** `envoy.admin.v3.ServerInfo.State`; the number is the gauge `server.state`. */
export const ServerState = { LIVE: 0, DRAINING: 1, PRE_INITIALIZING: 2, INITIALIZING: 3 } as const
export type ServerState = (typeof ServerState)[keyof typeof ServerState]

export const STATE_NAMES: readonly string[] = ['LIVE', 'DRAINING', 'PRE_INITIALIZING', 'INITIALIZING']

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
