import type { Server } from './server.ts'

/** The admin interface as the server sees it. It is made above (src/admin/) and handed in by src/cmd/. */
export interface AdminPort {
  /** Serves on a bound listening socket and takes it over. */
  listen(fd: number): void
  /** Stops accepting and drops connections. */
  close(): void
}

/** Called while the configuration is read. Throws ConfigError for an `admin` section it cannot serve. */
export type AdminFactory = (server: Server) => AdminPort
