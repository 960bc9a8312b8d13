/** How a cluster's hosts are found, on main. The server starts it when the cluster warms and stops it when it goes. */
export interface Discovery {
  start(): void
  stop(): void
  /** Hosts are known (or it is known that there are none): the cluster may be used. */
  readonly ready: boolean
}

export interface DiscoveryListener {
  /** Called once, when `ready` becomes true. */
  onReady(): void
}
