import type { Connection } from '../io/connection.ts'
import { connectionInfo } from '../telemetry/connection-info.ts'
import type { SharedState } from '../telemetry/stream-info.ts'

/** What a connection to an internal listener brings along (envoy.transport_sockets.internal_upstream). */
export interface PassedThrough {
  /** Metadata by namespace; null = none. */
  readonly metadata: Readonly<Record<string, Readonly<Record<string, unknown>>>> | null
  readonly state: readonly SharedState[] | null
}

/** The facts of the new connection begin with it: metadata as dynamic metadata, filter state as filter state. */
export function receivePassedThrough(connection: Connection, { metadata, state }: PassedThrough): void {
  const info = connectionInfo(connection)
  if (metadata !== null) for (const [name, fields] of Object.entries(metadata)) info.mergeMetadata(name, fields)
  for (const { key, value, sharing, poolKey } of state ?? []) {
    info.setFilterState(key, value, sharing === 'transitive' ? sharing : 'none', poolKey)
  }
}
