import { toJson } from '../config/json-writer.ts'
import type { AdminFactory } from '../server/admin-port.ts'
import { fullNode } from '../server/node.ts'
import { BUCKETS } from '../stats/histogram.ts'
import { quitHandler } from './quitquitquit.ts'
import { readyHandler } from './ready.ts'
import { AdminServer } from './server.ts'
import { serverInfoHandler } from './server-info.ts'
import { statsHandlers } from './stats.ts'

/** The admin interface of a server; `src/cmd/` hands this to it, since imports only point downward. */
export const createAdmin: AdminFactory = server => {
  const admin = new AdminServer(server.loop, server.loggers.get('admin'))
  admin.register([
    readyHandler(() => server.state),
    quitHandler(() => server.shutdown()),
    serverInfoHandler({
      state: () => server.state,
      uptime: () => server.stats.uptime(),
      options: server.options,
      node: () => toJson('envoy.config.core.v3.Node', fullNode(server.bootstrap.node)),
    }),
    ...statsHandlers({
      store: server.store,
      tags: () => server.tags,
      buckets: () => BUCKETS,
      refresh: () => server.refreshStats(),
    }),
  ])
  return { listen: fd => admin.listen({ fd, backlog: 128 }), close: () => admin.close() }
}
