import { FieldPath } from '../config/field-path.ts'
import { toJson } from '../config/json-writer.ts'
import { parseStringMatcher } from '../config/matcher.ts'
import { compileStringMatch } from '../config/string-match.ts'
import type { AdminFactory } from '../server/admin-port.ts'
import { localAddress } from '../server/local-address.ts'
import { mainServices } from '../server/main-services.ts'
import { fullNode } from '../server/node.ts'
import type { Server } from '../server/server.ts'
import { reopenAccessLogs } from '../telemetry/access-loggers/file-writer.ts'
import { adminAccessLogs } from './access-log.ts'
import { certsHandler } from './certs.ts'
import { clusterFacts, endpointFacts } from './cluster-facts.ts'
import { clustersHandler } from './clusters.ts'
import { configDumpHandler } from './config-dump.ts'
import { contentionHandler } from './contention.ts'
import { AdminCounters } from './counters.ts'
import { drainListenersHandler } from './drain-listeners.ts'
import type { AdminHandler } from './handler.ts'
import { healthCheckHandlers } from './health-check.ts'
import { helpHandler } from './help.ts'
import { homeHandler } from './home.ts'
import { hotRestartVersionHandler } from './hot-restart-version.ts'
import { initDumpHandler } from './init-dump.ts'
import { listenersHandler } from './listeners.ts'
import { loggingHandler } from './logging.ts'
import { memoryHandlers } from './memory.ts'
import { profilerHandlers } from './profilers.ts'
import { quitHandler } from './quitquitquit.ts'
import { readyHandler } from './ready.ts'
import { recentLookupsHandlers } from './recent-lookups.ts'
import { reopenLogsHandler } from './reopen-logs.ts'
import { resetCountersHandler } from './reset-counters.ts'
import { runtimeHandlers } from './runtime.ts'
import { AdminServer } from './server.ts'
import { listenerFacts, ServerDumpFacts } from './server-facts.ts'
import { serverInfoHandler } from './server-info.ts'
import { statsHandlers } from './stats.ts'
import { tlsFacts } from './tls-facts.ts'

/** The admin interface of a server; `src/cmd/` hands this to it, since imports only point downward. Throws ConfigError. */
export const createAdmin: AdminFactory = server => {
  const log = server.loggers.get('admin')
  const address = localAddress(server.options.localAddressIpVersion)
  const admin = new AdminServer({
    loop: server.loop,
    log,
    counters: new AdminCounters(server.store),
    accessLogs: accessLogs(server),
    localAddress: address,
    allowed: (server.bootstrap.admin?.allow_paths ?? []).map((matcher, i) =>
      compileStringMatch(parseStringMatcher(matcher, FieldPath.root().field('admin').field('allow_paths').index(i))),
    ),
  })
  admin.register(endpoints(server))
  admin.register([helpHandler(() => admin.handlers), homeHandler(() => admin.handlers)])
  return { listen: fd => admin.listen(fd, 128), close: () => admin.close() }
}

/** Envoy's. */
const DEFAULT_PROFILE_PATH = '/var/log/envoy/envoy.prof'

/** Every endpoint but those that list the others. */
function endpoints(server: Server): AdminHandler[] {
  const { options, loggers, store } = server
  return [
    certsHandler(() => tlsFacts(server)),
    clustersHandler(() => clusterFacts(server)),
    configDumpHandler(new ServerDumpFacts(server, () => endpointFacts(server))),
    contentionHandler,
    drainListenersHandler(how => server.drainListeners(how)),
    ...healthCheckHandlers(failed => server.failHealthCheck(failed)),
    hotRestartVersionHandler(options.disableHotRestart),
    initDumpHandler(() => unreadyTargets(server)),
    listenersHandler(() => listenerFacts(server)),
    loggingHandler(loggers.levels, () => server.publishLogLevels()),
    ...memoryHandlers(),
    ...profilerHandlers(server, server.bootstrap.admin?.profile_path || DEFAULT_PROFILE_PATH),
    quitHandler(() => server.shutdown()),
    readyHandler(() => server.state),
    ...recentLookupsHandlers(),
    reopenLogsHandler(() => {
      server.reopenLogs()
      // The admin's own, which main writes.
      reopenAccessLogs()
    }),
    resetCountersHandler(() => store.resetCounters()),
    ...runtimeHandlers(() => server.runtime),
    serverInfoHandler({
      state: () => server.state,
      uptime: () => server.stats.uptime(),
      options,
      node: () => toJson('envoy.config.core.v3.Node', fullNode(server.bootstrap.node), { defaults: true }),
    }),
    ...statsHandlers({
      store,
      tags: () => server.statistics.tags,
      buckets: name => server.statistics.buckets(name),
      refresh: () => server.gatherStats(),
    }),
  ]
}

function accessLogs(server: Server): ReturnType<typeof adminAccessLogs> {
  const { bootstrap, options, loggers, timers, loop, store, node, resources } = server
  const services = mainServices({
    timers,
    loop,
    store,
    loggers,
    node,
    runtime: server.runtimeView,
    secrets: resources.secrets,
    concurrency: options.concurrency,
  })
  const at = FieldPath.root().field('admin')
  return adminAccessLogs(bootstrap.admin ?? {}, at, services, text => loggers.get('admin').warning(text))
}

/** One init manager per listener that waits; the server's own is not shown (Envoy neither). */
function unreadyTargets(server: Server): { name: string; targets: string[] }[] {
  const prefix = 'Listener-local-init-manager '
  return server.init.waiting
    .filter(name => name.startsWith(prefix))
    .map(name => {
      const listener = server.resources.listeners.warming.get(name.slice(prefix.length))
      const targets = (listener?.routes ?? []).map(r => `shared target RdsRouteConfigSubscription RDS init ${r}`)
      return { name: `init manager ${name}`, targets }
    })
}
