import type { MessagePort } from 'node:worker_threads'
import { systemClock } from '../base/clock.ts'
import { CpuProfile } from '../base/cpu-profile.ts'
import { Loggers } from '../base/log.ts'
import { XorShift } from '../base/random.ts'
import { Rest } from '../base/rest.ts'
import { TimerWheel } from '../base/timer-wheel.ts'
import { TokenBuckets } from '../base/token-bucket.ts'
import { disableExtension, findFactory } from '../config/registry.ts'
import type { WorkerServices } from '../config/services.ts'
import { registerExtensions } from '../extensions.ts'
import { AsyncCallOuts } from '../http/call-outs.ts'
import { dropFreePages } from '../io/chunk-pool.ts'
import { writeDown } from '../io/libc.ts'
import { OpenDescriptors } from '../io/open-descriptors.ts'
import { SocketLoop } from '../io/socket-loop.ts'
import { createRouteTable } from '../routing/route-table.ts'
import { Slab } from '../stats/slab.ts'
import { flushAccessLogs, reopenAccessLogs } from '../telemetry/access-loggers/file-writer.ts'
import { WorkerClusterManager } from '../upstream/cluster-manager.ts'
import { BuiltinCodecs } from '../upstream/codecs.ts'
import type { UpstreamNetworkFilter } from '../upstream/network-filter.ts'
import { SharedPages } from '../upstream/shared-state.ts'
import { WorkerConnector } from './connector.ts'
import { WorkerDrainState } from './drain-state.ts'
import { WorkerListeners } from './listeners.ts'
import type { ConfigBatch, FromWorker, ToWorker, WorkerBirth } from './messages.ts'
import { RuntimeView } from './runtime.ts'
import { ClusterSnapshot, ExtensionSnapshot, RouteSnapshot, SecretSnapshot, WorkloadSnapshot } from './snapshot.ts'
import { WorkerStatsSinks } from './stats-sinks.ts'

/** What was delivered to stats sinks leaves in the turns after, ms. */
const LAST_WRITES = 20

/**
 * A worker thread: everything that touches traffic. It holds no descriptors, no protobuf, and parses no configuration.
 * Says `ready` on `port` when it takes messages.
 */
export function startWorker(port: MessagePort, birth: WorkerBirth): void {
  const post = (message: FromWorker): void => port.postMessage(message)

  const thread = process.pid + 1 + birth.workerIndex
  const loggers = new Loggers(
    {
      write: (component, level, text, place, from, wall) =>
        post({ type: 'log', component, level, text, place, thread: from, wall }),
    },
    thread,
  )
  loggers.levels.load(birth.logLevels)
  writeDown(new OpenDescriptors(birth.openDescriptors))
  registerExtensions()
  for (const name of birth.disabledExtensions) disableExtension(...splitExtension(name))

  const timers = new TimerWheel(systemClock)
  const random = new XorShift(birth.seed)
  const sinks = birth.statsSinks === null ? null : new WorkerStatsSinks(birth.statsSinks)
  const slab = new Slab(update => post({ type: 'slab', update }), sinks?.ring ?? null)
  const evictedStats = { generation: 0 }
  const runtime = new RuntimeView()
  const loop = new SocketLoop(timers, birth.workerIndex)
  const pages = new SharedPages()
  const secrets = new SecretSnapshot()
  const extensions = new ExtensionSnapshot()
  const workloads = new WorkloadSnapshot()
  const drain = new WorkerDrainState(birth.control, systemClock, random, birth.drainStrategy, birth.drainTime)
  const clusterSnapshot = new ClusterSnapshot()

  const services = {
    workerIndex: birth.workerIndex,
    concurrency: birth.concurrency,
    timers,
    clock: systemClock,
    random,
    stats: slab.root,
    evictedStats,
    runtime,
    secrets,
    extensions,
    workloads,
    drain,
    tokenBuckets: new TokenBuckets(birth.tokenBuckets),
    node: birth.node,
    fileFlushInterval: birth.fileFlushInterval,
    log: component => loggers.get(component),
    nextConnectionId: () => loop.nextId(),
    get clusters() {
      return clusters
    },
    get routes() {
      return routes
    },
    get callOuts() {
      return callOuts
    },
  } as WorkerServices

  const callOuts = new AsyncCallOuts(services, birth.localAddress)
  const routes = new RouteSnapshot(config => createRouteTable(config, services))
  const connector = new WorkerConnector(loop, services, {
    bufferLimit: birth.internalBuffer,
    find: name => listeners.find(name),
  })
  const clusters = new WorkerClusterManager(
    clusterSnapshot,
    {
      timers,
      random,
      runtime,
      stats: slab.root,
      connector,
      codecs: new BuiltinCodecs(timers),
      pages,
      locality: localityOf(birth),
      requestEjection: request => post({ type: 'ejection', request }),
      hostsMet: (cluster, met, gone) => post({ type: 'hosts-met', cluster, met, gone }),
      networkFilter: ({ category, typeUrl, config }) =>
        findFactory(category, typeUrl)!.create(config as never, services) as UpstreamNetworkFilter,
    },
    birth.localCluster,
  )
  const listeners = new WorkerListeners(
    loop,
    services,
    pages,
    birth.localAddress,
    birth.downstream,
    birth.drainTime,
    birth.internalBuffer,
    (listener, error) => post({ type: 'listening', listener, error }),
  )

  sinks?.start(services)

  const profile = new CpuProfile()
  const writeProfile = (path: string): void => {
    try {
      profile.stop(`${path}.worker${birth.workerIndex}`)
    } catch (error) {
      loggers.get('admin').error(`cannot write the CPU profile: ${(error as Error).message}`)
    }
  }

  port.on('message', (message: ToWorker) => {
    switch (message.type) {
      case 'config':
        apply(message.batch)
        if (message.first === true) post({ type: 'serving' })
        return
      case 'log-levels':
        loggers.levels.load(message.levels)
        return
      case 'flush-stats':
        slab.flushNames()
        post({ type: 'histograms', update: slab.drainHistograms() })
        post({ type: 'flushed' })
        return
      case 'drop-stats':
        slab.drop(message.prefix)
        return
      case 'evict-stats':
        slab.evict(message.names)
        evictedStats.generation++
        return
      case 'deliver-stats':
        sinks?.deliver(message.sink, message.messages)
        return
      case 'reopen-logs':
        reopenAccessLogs()
        return
      case 'cpu-profile':
        if (message.path === null) profile.start()
        else writeProfile(message.path)
        return
      case 'drain':
        listeners.drain(message.listeners, message.stop)
        return
      case 'peer':
        listeners.peers.connect(message.worker, message.port)
        return
      case 'shutdown':
        flushAccessLogs()
        // The last flush was delivered just before, and is not written yet.
        if (sinks === null) process.exit(0)
        setTimeout(() => process.exit(0), LAST_WRITES)
        return
    }
  })

  /** One batch is one turn: no request sees half of it. Order as Envoy's: what is referred to before what refers. */
  function apply(batch: ConfigBatch): void {
    const { epoch = 0 } = batch
    for (const page of batch.pages ?? []) pages.add(page)
    if (batch.runtime !== undefined) runtime.load(batch.runtime)
    for (const secret of batch.secrets ?? []) secrets.put(secret)
    for (const name of batch.removedSecrets ?? []) secrets.remove(name)
    for (const extension of batch.extensions ?? []) extensions.put(extension)
    for (const key of batch.removedExtensions ?? []) extensions.remove(key)
    for (const address of batch.removedWorkloads ?? []) workloads.remove(address)
    if (batch.workloads !== undefined) workloads.putAll(batch.workloads)
    if (batch.clusters !== undefined) clusterSnapshot.putAll(batch.clusters, name => clusters.onReplaced(name))
    for (const { cluster, update } of batch.hosts ?? []) {
      clusterSnapshot.putHosts(cluster, update)
      clusters.onHosts(cluster, update)
    }
    for (const name of batch.healthChanges ?? []) clusters.onHealthChange(name)
    for (const route of batch.routes ?? []) routes.put(route)
    for (const listener of batch.listeners ?? []) listeners.put(listener)
    for (const name of batch.removedListeners ?? []) listeners.remove(name)
    for (const name of batch.removedRoutes ?? []) routes.remove(name)
    for (const name of batch.removedClusters ?? []) {
      clusterSnapshot.remove(name)
      clusters.onReplaced(name)
    }
    if (epoch > 0) post({ type: 'applied', epoch })
  }
  const rest = new Rest(() => {
    dropFreePages()
    post({ type: 'resting' })
  })
  rest.start()
  post({ type: 'ready' })
}

function localityOf({ node }: WorkerBirth): { region: string; zone: string; subZone: string } | null {
  if (node.region === '' && node.zone === '' && node.subZone === '') return null
  return { region: node.region, zone: node.zone, subZone: node.subZone }
}

function splitExtension(name: string): [string, string] {
  const slash = name.indexOf('/')
  return [name.slice(0, slash), name.slice(slash + 1)]
}
