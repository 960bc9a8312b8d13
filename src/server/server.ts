import { closeSync, openSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { getHeapStatistics } from 'node:v8'
import { systemClock } from '../base/clock.ts'
import { collectGarbage } from '../base/collect-garbage.ts'
import { CpuProfile } from '../base/cpu-profile.ts'
import type { FileLogSink, Log, Loggers } from '../base/log.ts'
import { XorShift } from '../base/random.ts'
import { Rest } from '../base/rest.ts'
import { TimerWheel } from '../base/timer-wheel.ts'
import { tokenBucketMemory } from '../base/token-bucket.ts'
import { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { localCluster } from '../config/local-cluster.ts'
import { regexLimits } from '../config/matcher.ts'
import type { NodeInfo } from '../config/services.ts'
import { readDefaultTracing } from '../config/tracing.ts'
import { libc } from '../io/libc.ts'
import { SocketLoop } from '../io/socket-loop.ts'
import { StatsStore } from '../stats/store.ts'
import { gaugeBlock, type SharedBlock, SharedStateAllocator } from '../upstream/shared-state.ts'
import { type ConfigBatch, ControlCell, type WorkerFacts } from '../worker/messages.ts'
import { RuntimeView } from '../worker/runtime.ts'
import { XdsClient } from '../xds/xds.ts'
import type { AdminFactory, AdminPort } from './admin-port.ts'
import { type AdminSocket, openAdminSocket, parseAdminSocket } from './admin-socket.ts'
import { applicationLogPattern } from './application-log.ts'
import { MONITOR_STATS, maxDownstreamConnections } from './downstream-limit.ts'
import { DynamicResources } from './dynamic.ts'
import type { EnvoyOptions } from './envoy-options.ts'
import { InitManager } from './init-manager.ts'
import { internalListenerBuffer } from './internal-listeners.ts'
import { localAddress } from './local-address.ts'
import { MemoryReturn } from './memory-return.ts'
import { fullNode, nodeInfo } from './node.ts'
import { type ConfigChange, packed } from './publisher.ts'
import { ResourceManager } from './resources.ts'
import { RuntimeLoader } from './runtime.ts'
import { ServerStats } from './server-stats.ts'
import { installSignals } from './signals.ts'
import { ServerState } from './state.ts'
import { Statistics } from './statistics.ts'
import { checkUnsupported } from './unsupported.ts'
import { WorkerPool } from './workers.ts'
import { workloadSource } from './workload-discovery.ts'

type Bootstrap = envoy.config.bootstrap.v3.Bootstrap

/** How long /stats waits for busy workers, in ms. */
const GATHER_LIMIT = 500
/** What is still held when its retirement is confirmed falls to 0 without a message, ms. */
const RECLAIM_EVERY = 5000
/** How long workers get to flush their logs when the process ends. */
const SHUTDOWN_GRACE = 200
/** The same, when they have the last flush to send. */
const SINKS_GRACE = 2000
/** From LIVE until what only dumps read is packed, in ms: whoever waits for readiness comes first. */
const SHELVE_AFTER = 1000
/** Bytes. After a configuration that takes so much, half of the heap is garbage, and what follows would come on top of it. */
const LARGE_HEAP = 40 * 1048576

/** The main thread: configuration, workers, admin. `configure` may fail; after `run` has resolved nothing does. */
export class Server {
  readonly options: EnvoyOptions
  readonly bootstrap: Bootstrap
  readonly store = new StatsStore()
  readonly init = new InitManager()
  readonly control = new SharedArrayBuffer(ControlCell.Count * 4)
  readonly node: NodeInfo
  readonly resources: ResourceManager
  readonly pool: WorkerPool
  readonly loggers: Loggers
  readonly #sink: FileLogSink
  readonly #main: Log
  readonly stats: ServerStats
  readonly allocator: SharedStateAllocator
  readonly timers: TimerWheel
  readonly loop: SocketLoop
  readonly #makeAdmin: AdminFactory
  #admin: AdminPort | null = null
  #adminSocket: AdminSocket | null = null
  /** Set by `configure`. */
  runtime!: RuntimeLoader
  statistics!: Statistics
  readonly #connections: SharedBlock
  readonly #tokenBuckets = tokenBucketMemory((Math.random() * 0x7fffffff) | 0)
  readonly #maxConnections: number
  #state: ServerState = ServerState.PRE_INITIALIZING
  readonly runtimeView = new RuntimeView()
  readonly #profile = new CpuProfile()
  readonly #memory: MemoryReturn
  #failed = false
  #leaving = false
  #workersStarted = false
  /** Workers that do not accept connections yet. */
  readonly #waitingFor = new Set<number>()
  /** What every worker is told when it starts, for as long as nothing changes and workers start. */
  #snapshot: ConfigBatch | null = null

  constructor(
    options: EnvoyOptions,
    bootstrap: Bootstrap,
    loggers: Loggers,
    sink: FileLogSink,
    makeAdmin: AdminFactory,
  ) {
    this.#makeAdmin = makeAdmin
    this.options = options
    this.bootstrap = bootstrap
    this.loggers = loggers
    this.#sink = sink
    this.#main = loggers.get('main')
    this.node = nodeInfo(bootstrap.node)
    this.stats = new ServerStats(this.store, options.concurrency, !options.disableHotRestart)
    this.timers = new TimerWheel(systemClock)
    this.loop = new SocketLoop(this.timers, 1023)
    this.#memory = new MemoryReturn(() => libc()?.trim(), this.timers)
    this.allocator = new SharedStateAllocator(options.concurrency, index => this.#announcePage(index))
    this.#connections = this.allocator.allocate(gaugeBlock(1))
    this.#maxConnections = maxDownstreamConnections(bootstrap.overload_manager)
    this.pool = new WorkerPool(
      (index, generation) => this.#birth(index, generation),
      {
        onStarted: index => this.#onWorkerStarted(index),
        onServing: index => this.#onServing(index),
        onResting: () => this.#memory.soon(),
        onDied: index => {
          this.resources.onWorkerDied(index)
          this.allocator.releaseWorker(index)
        },
        onEjection: request => this.resources.onEjection(request),
        onHostsMet: (worker, cluster, met, gone) => this.resources.onHostsMet(worker, cluster, met, gone),
        onApplied: (index, epoch) => this.allocator.acknowledge(index, epoch),
        onListening: (index, listener, error) => this.resources.onListening(index, listener, error),
      },
      loggers,
      this.store,
    )
    this.resources = new ResourceManager({
      bootstrap,
      options,
      loggers,
      store: this.store,
      allocator: this.allocator,
      init: this.init,
      node: this.node,
      broadcast: (change: ConfigChange) => {
        this.#snapshot = null
        if (!this.#workersStarted) return
        this.pool.broadcast({ type: 'config', batch: { ...packed(change), epoch: this.allocator.newestEpoch } })
      },
      pool: this.pool,
      timers: this.timers,
      loop: this.loop,
      runtime: this.runtimeView,
    })
  }

  get state(): ServerState {
    return this.#failed && this.#state === ServerState.LIVE ? ServerState.DRAINING : this.#state
  }

  /** Reads and checks the whole static configuration. Throws ConfigError; opens nothing. */
  configure(): void {
    this.#checkBootstrap()
    this.runtime = new RuntimeLoader(this.bootstrap.layered_runtime, this.store, entries => {
      this.runtimeView.load(entries)
      this.pool.broadcast({ type: 'config', batch: { runtime: entries } })
    })
    this.runtimeView.load(this.runtime.entries())
    const misc = this.loggers.get('misc')
    readDefaultTracing(this.bootstrap.tracing, FieldPath.root().field('tracing'), text => misc.warning(text))
    localCluster.name = this.bootstrap.cluster_manager?.local_cluster_name ?? ''
    regexLimits.error = this.runtimeView.integer('re2.max_program_size.error_level', 100)
    regexLimits.warn = this.runtimeView.integer('re2.max_program_size.warn_level', 2 ** 32 - 1)
    regexLimits.tell = text => misc.warning(text)
    this.statistics = new Statistics(this.bootstrap, this.options.statsTags, {
      store: this.store,
      pool: this.pool,
      refresh: () => this.#refreshAtFlush(),
    })
    for (const warning of this.statistics.warnings) this.loggers.get('config').warning(warning)
    this.#adminSocket = parseAdminSocket(this.bootstrap.admin)
    if (this.#adminSocket !== null) this.#admin = this.#makeAdmin(this)
    const xds = new XdsClient({
      bootstrap: this.bootstrap,
      node: fullNode(this.bootstrap.node),
      rejectUnknown: this.options.rejectUnknownDynamicFields,
      skipDeprecated: this.options.skipDeprecatedLogs,
      validating: this.options.mode === 'validate',
      timers: this.timers,
      clock: systemClock,
      random: new XorShift((Math.random() * 0x7fffffff) | 0),
      stats: this.store,
      log: this.loggers.get('config'),
    })
    this.resources.subscriptions = new DynamicResources(
      this.resources,
      this.loggers,
      xds,
      this.store,
      workloadSource(this.bootstrap),
      this.runtime,
    )
    this.resources.configure()
    if (getHeapStatistics().used_heap_size > LARGE_HEAP) collectGarbage('dense')
  }

  /** Opens sockets, starts workers. Throws when a socket cannot be had. */
  run(): void {
    const main = this.#main
    main.info(
      this.runtime.layers.length === 0 ? 'runtime: {}' : `runtime: ${this.runtime.layers.map(l => l.name).join(', ')}`,
    )
    this.#state = ServerState.INITIALIZING
    this.#listenAdmin()
    this.resources.openSockets()
    if (this.options.mode === 'init_only') {
      this.resources.start()
      this.init.start(() => process.exit(0))
      return
    }
    if (this.#maxConnections > 0) {
      this.store.declare('overload.envoy.resource_monitors.global_downstream_max_connections.', MONITOR_STATS)
    } else {
      main.warning(
        'There is no configured limit to the number of allowed active downstream connections. Configure a limit in ' +
          '`envoy.resource_monitors.global_downstream_max_connections` resource monitor.',
      )
    }
    installSignals(main, { shutdown: () => this.shutdown(), reopenLogs: () => this.reopenLogs() })
    // Threads take tens of milliseconds to start: they do so while clusters warm, and get their listeners when all is ready.
    for (let i = 0; i < this.options.concurrency; i++) this.#waitingFor.add(i)
    this.pool.start(this.options.concurrency)
    this.store.gauge('listener_manager.workers_started').set(0)
    this.resources.start()
    main.info('starting main dispatch loop')
    this.init.start(() => this.#onInitialized())
    this.statistics.flusher.start()
    setInterval(() => this.allocator.reclaim(), RECLAIM_EVERY)
    new Rest(() => this.#memory.soon()).start()
  }

  #refreshAtFlush(): void {
    this.stats.refresh(this.state, this.resources.daysToExpiry())
    this.resources.clusters.refreshGauges()
  }

  /**
   * Everything a reader of statistics must see: the names of counters that workers made a moment ago reach main by message.
   * A worker that does not answer in time is not waited for: its counters are one message older then.
   */
  async gatherStats(): Promise<void> {
    const { flusher } = this.statistics
    const flushed = flusher.onAdmin ? flusher.flush() : this.pool.flush()
    await Promise.race([flushed, sleep(GATHER_LIMIT, undefined, { ref: false })])
    this.refreshStats()
  }

  /** Values that are computed only when somebody looks; `server.state` and memory change at flushes, as in Envoy. */
  refreshStats(): void {
    this.store.gauge('server.uptime').set(Math.floor(this.stats.uptime()))
    this.resources.clusters.refreshGauges()
  }

  failHealthCheck(failed: boolean): void {
    this.#failed = failed
    Atomics.store(new Int32Array(this.control), ControlCell.HealthCheckFailed, failed ? 1 : 0)
    this.stats.live(!failed && this.#state === ServerState.LIVE)
  }

  /** POST /drain_listeners. `graceful`: connections are asked to go for the drain time first; `skipExit`: the sockets stay. */
  drainListeners(how: { readonly graceful: boolean; readonly inboundOnly: boolean; readonly skipExit: boolean }): void {
    const names: string[] = []
    for (const [name, { config }] of this.resources.listeners.active) {
      if (!how.inboundOnly || config.trafficDirection === 'INBOUND') names.push(name)
    }
    const stop = (): void => {
      this.resources.listeners.stopListening(names)
      this.pool.broadcast({ type: 'drain', listeners: names, stop: true })
    }
    if (how.graceful || how.skipExit) {
      this.pool.broadcast({ type: 'drain', listeners: names, stop: false })
      if (!how.skipExit) setTimeout(stop, this.options.drainTime * 1000)
    } else stop()
  }

  /** POST /logging: what `loggers.levels` now says holds for the workers too. */
  publishLogLevels(): void {
    this.pool.broadcast({ type: 'log-levels', levels: this.loggers.levels.dump() })
  }

  /** POST /cpuprofiler?enable=y: main and workers. Throws the system error when nothing could be written to `path`. */
  startCpuProfile(path: string): void {
    closeSync(openSync(path, 'a'))
    this.#profile.start()
    this.pool.broadcast({ type: 'cpu-profile', path: null })
  }

  /** Main's profile goes to `path`, those of the workers, which do the work, to `<path>.worker0` and so on. */
  stopCpuProfile(path: string): void {
    this.pool.broadcast({ type: 'cpu-profile', path })
    this.#profile.stop(path)
  }

  reopenLogs(): void {
    this.#sink.reopen()
    this.pool.broadcast({ type: 'reopen-logs' })
  }

  /** Clean end of the process, exit code 0: as Envoy, without waiting for connections. */
  shutdown(): void {
    if (this.#leaving) return
    this.#leaving = true
    this.#main.info('shutting down server instance')
    this.#main.info('main dispatch loop exited')
    const leave = (): never => {
      this.#main.info('exiting')
      process.exit(0)
    }
    this.statistics.flusher.last()
    this.pool.stop(leave)
    setTimeout(leave, this.statistics.forWorkers === null ? SHUTDOWN_GRACE : SINKS_GRACE)
  }

  /** A failed start: give back what was opened. */
  abandon(): void {
    this.#leaving = true
    this.#admin?.close()
  }

  #onInitialized(): void {
    this.loggers.get('config').info('all dependencies initialized. starting workers')
    this.#workersStarted = true
    this.pool.serve()
    const first = this.#everything()
    for (let i = 0; i < this.pool.count; i++) this.#sendListeners(i, first)
  }

  /** LIVE means that a connection is not refused: every worker listens. */
  #onServing(index: number): void {
    if (this.#state === ServerState.LIVE) return
    this.#waitingFor.delete(index)
    if (this.#waitingFor.size > 0) return
    this.#snapshot = null
    this.#state = ServerState.LIVE
    this.stats.initialized()
    // Envoy brings its own stats up to date here once, then with each flush.
    this.stats.refresh(this.#state, this.resources.daysToExpiry())
    this.stats.live(!this.#failed)
    this.store.gauge('listener_manager.workers_started').set(1)
    // Not only at the next flush: Istio's readiness reads server.state (Envoy: startWorkers calls updateServerStats).
    this.stats.refresh(this.state, this.resources.daysToExpiry())
    setTimeout(() => this.resources.shelve(), SHELVE_AFTER).unref()
  }

  /** A worker (or its replacement) takes messages now. */
  #onWorkerStarted(index: number): void {
    if (this.#workersStarted) this.#sendListeners(index, this.#everything())
  }

  #sendListeners(index: number, batch: ConfigBatch): void {
    // Descriptors are duplicated for a receiver; without one nobody would ever close them and the port would stay open.
    if (!this.pool.isReady(index)) return
    const pages = []
    for (let p = 0; p < this.allocator.pageCount; p++) pages.push(this.allocator.view(index, p))
    const listeners = this.resources.listenersFor(index)
    this.pool.send(index, { type: 'config', first: true, batch: { ...batch, pages, listeners } })
  }

  #everything(): ConfigBatch {
    this.#snapshot ??= this.resources.everything()
    return { runtime: this.runtime.entries(), ...this.#snapshot, epoch: this.allocator.newestEpoch }
  }

  #announcePage(page: number): void {
    if (!this.#workersStarted) return
    for (let i = 0; i < this.pool.count; i++) {
      this.pool.send(i, { type: 'config', batch: { pages: [this.allocator.view(i, page)] } })
    }
  }

  #birth(index: number, generation: number): WorkerFacts {
    const o = this.options
    return {
      workerIndex: index,
      concurrency: o.concurrency,
      generation,
      node: this.node,
      logLevels: this.loggers.levels.dump(),
      fileFlushInterval: o.fileFlushInterval,
      fileFlushMinSizeKb: o.fileFlushMinSizeKb,
      drainStrategy: o.drainStrategy,
      drainTime: o.drainTime * 1000,
      seed: (Math.random() * 0x7fffffff) | 0,
      control: this.control,
      downstream: { max: this.#maxConnections, taken: this.#connections },
      tokenBuckets: this.#tokenBuckets,
      internalBuffer: internalListenerBuffer(this.bootstrap) ?? 0,
      disabledExtensions: o.disabledExtensions,
      statsSinks: this.statistics.forWorkers,
      localAddress: localAddress(o.localAddressIpVersion),
      localCluster: this.bootstrap.cluster_manager?.local_cluster_name ?? '',
    }
  }

  #listenAdmin(): void {
    const wanted = this.#adminSocket
    if (wanted === null) {
      this.#main.warning('No admin address given, so no admin HTTP server started.')
      return
    }
    const { fd, address } = openAdminSocket(wanted)
    this.#main.info(`Starting admin HTTP server at ${address.text}`)
    this.#admin?.listen(fd)
    this.loggers.get('admin').info(`admin address: ${address.text}`)
    if (this.options.adminAddressPath !== '') {
      try {
        writeFileSync(this.options.adminAddressPath, address.text)
      } catch {
        this.#main.critical(`cannot open admin address output file ${this.options.adminAddressPath} for writing.`)
      }
    }
  }

  #checkBootstrap(): void {
    const b = this.bootstrap
    const pattern = applicationLogPattern(b.application_log_config, this.options.logFormatGiven)
    if (pattern !== null) this.#sink.usePattern(pattern)
    checkUnsupported(b, this.loggers.get('config'))
  }
}
