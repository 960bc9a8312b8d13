/** HTTP/2 streams of this thread, those of clients and those to upstreams: how many are open, and how many have ever begun. */
export const multiplexed = { open: 0, begun: 0 }
