/** `envoy.admin.v3.ServerInfo.State`; the number is the gauge `server.state`. */
export const ServerState = { LIVE: 0, DRAINING: 1, PRE_INITIALIZING: 2, INITIALIZING: 3 } as const
export type ServerState = (typeof ServerState)[keyof typeof ServerState]

export const STATE_NAMES: readonly string[] = ['LIVE', 'DRAINING', 'PRE_INITIALIZING', 'INITIALIZING']
