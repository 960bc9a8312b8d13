import type { Connection } from '../io/connection.ts'
import { StreamInfo } from './stream-info.ts'

/** The facts of a connection, one object for all of its network filters (Envoy: Connection::streamInfo). */
export function connectionInfo(c: Connection): StreamInfo {
  let info = c.streamInfo
  if (info === null) {
    info = new StreamInfo()
    info.connection = c
    c.streamInfo = info
  }
  return info
}
