import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Rest } from '../base/rest.ts'
import { ask } from './admin-client.ts'
import { AgentError } from './agent-error.ts'
import { AppProbes } from './app-probes.ts'
import { makeBootstrap, writeLightstepToken } from './bootstrap.ts'
import { optionalPort, portFrom } from './bootstrap-listeners.ts'
import { type ControlPlane, startControlPlane } from './control-plane.ts'
import { boolFrom } from './go-bool.ts'
import { durationFrom } from './go-duration.ts'
import { loadGrpc } from './grpc.ts'
import { GrpcReadiness, grpcBootstrapPath, writeGrpcBootstrap } from './grpc-bootstrap.ts'
import { type Identity, startIdentity } from './identity/identity.ts'
import { log } from './log.ts'
import { AgentMetrics } from './metrics.ts'
import { addressFamily, type Env, nodeIdentity, type ProxyType, readDownwardApi } from './node-identity.ts'
import { effectiveProxyConfig, type ProxyConfig, readIfPresent } from './proxy-config.ts'
import { GO_SIGNAL_NAMES, ProxyProcess, proxyArguments } from './proxy-process.ts'
import { adminStatsReader, Readiness } from './readiness.ts'
import { scrapeTargets } from './scrape-targets.ts'
import { StatusServer } from './status-server.ts'
import { Supervisor } from './supervisor.ts'
import { versionText } from './version.ts'
import { parseYaml } from './yaml.ts'

/** Options of `pilot-agent proxy TYPE`. */
export interface ProxyOptions {
  readonly type: string
  readonly domain: string
  readonly meshConfig: string
  readonly serviceCluster: string
  readonly logLevel: string
  readonly componentLogLevel: string
  readonly concurrency: number
  /** Replaces ProxyConfig.binaryPath; empty is unset. */
  readonly proxyBinary: string
  readonly logAsJson: boolean
  /** Empty: outlier events are not logged. */
  readonly outlierLogPath: string
  readonly env: Env
}

/** Runs until the proxy is gone; resolves to the exit status of the agent. Rejects with AgentError. */
export async function runProxy(options: ProxyOptions): Promise<number> {
  log.info(`Version ${versionText()}`)
  const shutdown = shutdownCause()
  const type = proxyType(options.type)
  const { env } = options
  const annotations = readIfPresent('./etc/istio/pod/annotations')
  const config = effectiveProxyConfig({
    mesh: readIfPresent(options.meshConfig),
    env: env.PROXY_CONFIG,
    annotation: readDownwardApi(annotations ?? '')['proxy.istio.io/config'],
    serviceCluster: options.serviceCluster,
    concurrency: options.concurrency,
    cpuLimit: Number(env.ISTIO_CPU_LIMIT ?? 0) || 0,
  })
  if (config.statusPort < 1 || config.statusPort > 65535) {
    throw new AgentError(`invalid status port: port number ${config.statusPort} must be in the range 1..65535`)
  }
  const metrics = new AgentMetrics()
  const identity = await startIdentity({ env, config, registry: metrics.registry })
  try {
    return await runWithIdentity(options, { type, config, annotations, metrics, identity, shutdown })
  } finally {
    identity.close()
  }
}

interface Started {
  readonly type: ProxyType
  readonly config: ProxyConfig
  readonly annotations: string | undefined
  readonly metrics: AgentMetrics
  readonly identity: Identity
  readonly shutdown: PromiseWithResolvers<string>
}

/**
 * Resolves to the reason for which this process shall end. Only the first counts, from the very start on: a signal while the agent
 * starts is not lost. SIGUSR1 is taken from Node, which would open its debugger to every process of the pod.
 */
function shutdownCause(): PromiseWithResolvers<string> {
  const shutdown = Promise.withResolvers<string>()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => shutdown.resolve(`received signal: ${GO_SIGNAL_NAMES[signal]}`))
  }
  process.on('SIGUSR1', () => {})
  return shutdown
}

async function runWithIdentity(options: ProxyOptions, started: Started): Promise<number> {
  const { env } = options
  const { type, config, metrics, identity, shutdown } = started
  const node = nodeIdentity({
    type,
    env,
    domain: options.domain,
    config,
    labels: readIfPresent('./etc/istio/pod/labels'),
    annotations: started.annotations,
    outlierLogPath: options.outlierLogPath,
    metadata: identity.metadata,
  })
  log.info('Proxy role', { ips: node.addresses, type, id: node.name, domain: node.domain })
  log.info(`Effective config: ${JSON.stringify(config.raw)}`)
  const probes = new AppProbes({
    json: env.ISTIO_KUBE_APP_PROBERS,
    destination: boolFrom(env, 'REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION')
      ? 'localhost'
      : (node.addresses[0] as string),
    statusPort: config.statusPort,
  })

  const withoutProxy = boolFrom(env, 'DISABLE_ENVOY')
  const { localhost, version } = addressFamily(node.addresses)
  const readStats = adminStatsReader(localhost, config.proxyAdminPort)
  let controlPlane: ControlPlane | undefined
  const grpcPath = grpcBootstrapPath(env)
  const grpc = grpcPath === '' ? undefined : new GrpcReadiness(grpcPath)
  const readiness = new Readiness(withoutProxy ? undefined : readStats, () => {
    const missing = grpc?.check()
    if (missing !== undefined) return missing
    return controlPlane?.dns?.isReady === false
      ? 'istio DNS capture is turned ON and DNS lookup table is not ready yet'
      : undefined
  })
  const proxyPort = portFrom(env, 'ENVOY_PROMETHEUS_PORT', 15090)
  const healthPort = portFrom(env, 'ENVOY_STATUS_PORT', 15021)

  // Set once the proxy runs; the status server is up before, so that a probe gets 503 and not a refusal.
  let supervisor: Supervisor | undefined
  const status = new StatusServer({
    port: config.statusPort,
    readiness,
    metrics,
    sources: {
      proxyPort: !withoutProxy && boolFrom(env, 'PILOT_AGENT_MERGE_ENVOY_STATS', true) ? proxyPort : 0,
      // Port 15020 of a gateway is open to its clients (status/server.go).
      applications: type === 'sidecar' ? scrapeTargets(env.ISTIO_PROMETHEUS_ANNOTATIONS, config.statusPort) : [],
    },
    probes,
    metricsFromLocalhostOnly: boolFrom(env, 'METRICS_LOCALHOST_ACCESS_ONLY'),
    nameTable: () => controlPlane?.dns?.table ?? null,
    onQuit: () => {
      supervisor?.skipDrain()
      shutdown.resolve('/quitquitquit called')
    },
    onDrain: () => void supervisor?.drainNow(),
  })
  let bootstrapPath = ''
  try {
    await status.listen()
    void shutdown.promise.then(cause => {
      readiness.terminate(cause)
      status.stopListening()
    })
    controlPlane = await startControlPlane({
      env,
      config,
      node,
      registry: metrics.registry,
      proxyReady: new Readiness(readStats),
      updateTrustBundle: pems => identity.updateTrustBundle(pems),
    })
    if (grpcPath !== '') {
      const xdsSocket = join(config.configPath, 'XDS')
      writeGrpcBootstrap(grpcPath, { node, xdsSocket, certificates: env.OUTPUT_CERTS ?? '' })
    }
    new Rest(() => {}).start()
    if (withoutProxy) {
      await shutdown.promise
      return 0
    }
    bootstrapPath = writeBootstrap(
      config,
      makeBootstrap({
        node,
        config,
        env,
        logAsJson: options.logAsJson,
        outlierLogPath: options.outlierLogPath,
        sds: identity,
      }),
    )
    log.info('Starting proxy agent')
    const proxy = new ProxyProcess(
      proxyCommand(options.proxyBinary, config),
      proxyArguments({
        bootstrapPath,
        config,
        addressVersion: version,
        logLevel: options.logLevel,
        componentLogLevel: options.componentLogLevel,
        skipDeprecatedLogs: boolFrom(env, 'ENVOY_SKIP_DEPRECATED_LOGS', true),
        override: bootstrapOverride(env),
      }),
      { ...env, ...config.proxyMetadata },
    )
    // Only now: the proxy starts meanwhile.
    void loadGrpc()
    const running = new Supervisor({
      proxy,
      drain: skipExit => drainListeners(localhost, config.proxyAdminPort, type, skipExit),
      terminationDrainMs: config.terminationDrainDurationMs,
      minimumDrainMs: durationFrom(env, 'MINIMUM_DRAIN_DURATION', 5000),
      exitOnZeroActiveConnections: boolFrom(env, 'EXIT_ON_ZERO_ACTIVE_CONNECTIONS'),
      readStats,
      ownListeners: ownListeners([
        healthPort,
        proxyPort,
        optionalPort(env, 'ENVOY_SECURE_METRICS_PORT'),
        optionalPort(env, 'ENVOY_SECURE_MERGED_METRICS_PORT'),
      ]),
    })
    supervisor = running
    void shutdown.promise.then(() => running.stop())
    return await running.run()
  } finally {
    controlPlane?.close()
    status.close()
    if (bootstrapPath !== '') rmSync(bootstrapPath, { force: true })
  }
}

function proxyType(text: string): ProxyType {
  if (text === 'sidecar' || text === 'router' || text === 'waypoint') return text
  throw new AgentError(`invalid proxy Type: ${text}; use sidecar, router or waypoint`)
}

function writeBootstrap(config: ProxyConfig, bootstrap: object): string {
  const path = join(config.configPath, 'envoy-rev.json')
  try {
    mkdirSync(config.configPath, { recursive: true })
    writeFileSync(path, JSON.stringify(bootstrap, null, 2))
    writeLightstepToken(config)
  } catch (error) {
    throw new AgentError(`cannot write the bootstrap ${path}: ${(error as Error).message}`)
  }
  return path
}

/** Flag, REMORA_PROXY (set by the caller as the flag), this package's own proxy, then Istio's place for it. */
function proxyCommand(flag: string, config: ProxyConfig): string[] {
  if (flag !== '') return [flag]
  const configured = config.binaryPath
  if (configured !== '/usr/local/bin/envoy') return [configured]
  // This file is src/agent/… in a clone and part of dist/pilot-agent.js in the package.
  for (const up of ['../../bin/envoy', '../bin/envoy']) {
    const own = join(import.meta.dirname, up)
    if (existsSync(own)) return [own]
  }
  return [configured]
}

async function drainListeners(host: string, port: number, type: ProxyType, skipExit: boolean): Promise<void> {
  // A sidecar goes on serving its own application's calls; a gateway or waypoint has only one direction.
  const path = `/drain_listeners?${type === 'sidecar' ? 'inboundonly&' : ''}graceful${skipExit ? '&skip_exit' : ''}`
  const { status } = await ask({ method: 'POST', host, port, path, timeoutMs: 3000 })
  if (status !== 200) throw new Error(`POST ${path}: status ${status}`)
}

function ownListeners(ports: readonly number[]): ReadonlySet<string> {
  return new Set([
    ...ports.filter(port => port > 0).map(port => `listener.0.0.0.0_${port}.downstream_cx_active`),
    'listener.admin.downstream_cx_active',
    'listener.admin.main_thread.downstream_cx_active',
  ])
}

function bootstrapOverride(env: Env): string | undefined {
  const path = env.ISTIO_BOOTSTRAP_OVERRIDE
  if (path === undefined || path === '') return undefined
  const hostIp = env.HOST_IP ?? ''
  const bracketed = hostIp.includes(':') ? `[${hostIp}]` : hostIp
  try {
    const text = readFileSync(path, 'utf8').replaceAll('[$(HOST_IP)]', bracketed).replaceAll('$(HOST_IP)', bracketed)
    return JSON.stringify(parseYaml(text))
  } catch (error) {
    log.warn(`Failed to read bootstrap override: ${(error as Error).message}`)
    return undefined
  }
}
