import { execFile } from 'node:child_process'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { lazyHttps } from '../base/lazy-modules.ts'
import { AgentError } from './agent-error.ts'
import { boolFrom } from './go-bool.ts'
import { grpcHealthCheck } from './grpc-health.ts'
import { Logger } from './log.ts'
import type { Env, NodeIdentity } from './node-identity.ts'
import { deadlineAfter, refuseUpgrade } from './outgoing-http.ts'
import type { Readiness } from './readiness.ts'

/** ProxyConfig.readinessProbe (networking/v1alpha3 ReadinessProbe), as JSON. */
interface ReadinessProbe {
  readonly initialDelaySeconds?: number
  readonly timeoutSeconds?: number
  readonly periodSeconds?: number
  readonly successThreshold?: number
  readonly failureThreshold?: number
  readonly httpGet?: {
    readonly path?: string
    readonly port: number
    readonly host?: string
    readonly scheme?: string
    readonly httpHeaders?: readonly { readonly name: string; readonly value: string }[]
  }
  readonly tcpSocket?: { readonly host?: string; readonly port: number }
  readonly exec?: { readonly command: readonly string[] }
  readonly grpc?: { readonly port: number; readonly service?: string }
}

interface Surroundings {
  readonly env: Env
  readonly node: NodeIdentity
  readonly proxyReady: Readiness
}

/** Resolves when healthy, rejects with Error that says why not. */
type Prober = () => Promise<void>

const METHODS = ['httpGet', 'tcpSocket', 'exec', 'grpc'] as const
const log = new Logger('healthcheck')

/**
 * Probes an application that no kubelet watches (a VM) and tells of every change (istio pkg/istio-agent/health). Healthy means that
 * the proxy is ready too.
 */
export class WorkloadHealthChecker {
  readonly #probe: ReadinessProbe
  readonly #prober: Prober
  #timer: NodeJS.Timeout | undefined
  #successes = 0
  #failures = 0
  #state: 'unknown' | 'healthy' | 'unhealthy' = 'unknown'
  #closed = false

  private constructor(probe: ReadinessProbe, prober: Prober) {
    this.#probe = probe
    this.#prober = prober
  }

  /** null when none is configured. Throws AgentError when it cannot be understood. */
  static from(configured: unknown, around: Surroundings): WorkloadHealthChecker | null {
    if (configured === undefined || configured === null) return null
    const probe = configured as ReadinessProbe
    const methods = METHODS.filter(method => probe[method] !== undefined)
    if (methods.length !== 1) throw new AgentError(`readinessProbe: one of ${METHODS.join(', ')} is needed`)
    const port = probe.httpGet?.port ?? probe.tcpSocket?.port ?? probe.grpc?.port ?? 1
    if (!Number.isInteger(port) || port < 1 || port > 65535) {
      throw new AgentError(`readinessProbe.${methods[0]}.port: ${port} is not a port`)
    }
    if (probe.exec !== undefined && !(probe.exec.command?.length > 0)) {
      throw new AgentError('readinessProbe.exec.command is empty')
    }
    const application = proberOf(probe, around)
    return new WorkloadHealthChecker(probe, async () => {
      const notReady = await around.proxyReady.check()
      if (notReady !== undefined) throw new Error(notReady)
      await application()
    })
  }

  /** `tell`: '' is healthy, else why not. Only changes are told, after as many equal results as the thresholds say. */
  start(tell: (unhealthy: string) => void): void {
    const { initialDelaySeconds = 0, periodSeconds } = this.#probe
    log.info(`starting health check in ${initialDelaySeconds}s`)
    const round = async (): Promise<void> => {
      await this.#check(tell)
      if (!this.#closed) this.#timer = setTimeout(round, (periodSeconds || 10) * 1000)
    }
    this.#timer = setTimeout(round, initialDelaySeconds * 1000)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  async #check(tell: (unhealthy: string) => void): Promise<void> {
    try {
      await this.#prober()
    } catch (error) {
      this.#failed((error as Error).message || 'unhealthy', tell)
      return
    }
    if (this.#closed) return
    log.debug('probe completed with healthy status')
    this.#failures = 0
    if (++this.#successes !== (this.#probe.successThreshold || 1) || this.#state === 'healthy') return
    log.info('success threshold hit, marking as healthy')
    this.#successes = 0
    this.#state = 'healthy'
    tell('')
  }

  #failed(why: string, tell: (unhealthy: string) => void): void {
    if (this.#closed) return
    log.debug(`probe completed with unhealthy status: ${why}`)
    this.#successes = 0
    if (++this.#failures !== (this.#probe.failureThreshold || 1) || this.#state === 'unhealthy') return
    log.info(`failure threshold hit, marking as unhealthy: ${why}`)
    this.#failures = 0
    this.#state = 'unhealthy'
    tell(why)
  }
}

function proberOf(probe: ReadinessProbe, { env, node }: Surroundings): Prober {
  const legacy = boolFrom(env, 'REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION')
  const host = legacy ? 'localhost' : (node.addresses[0] ?? 'localhost')
  const timeoutMs = (probe.timeoutSeconds || 1) * 1000
  if (probe.httpGet !== undefined) return httpProber(probe.httpGet, host, timeoutMs)
  if (probe.tcpSocket !== undefined) return tcpProber(probe.tcpSocket.host || host, probe.tcpSocket.port, timeoutMs)
  if (probe.exec !== undefined) return execProber(probe.exec.command, timeoutMs)
  const { port, service } = probe.grpc as { port: number; service?: string }
  return async () => {
    const serving = await grpcHealthCheck({ host, port, source: undefined, service: service ?? '', timeoutMs })
    if (!serving) throw new Error('health rpc probe: not serving')
  }
}

/** 200 to 399 is healthy; a redirect is not followed. */
function httpProber(get: NonNullable<ReadinessProbe['httpGet']>, byDefault: string, timeoutMs: number): Prober {
  const host = get.host || byDefault
  const headers: Record<string, string> = { 'User-Agent': 'istio-probe/1.0' }
  for (const { name, value } of get.httpHeaders ?? []) headers[name] = value
  // The address that the rules let through to the application.
  const localAddress = host.includes(':') ? '::6' : '127.0.0.6'
  const options = {
    host,
    port: get.port,
    path: get.path || '/',
    headers,
    agent: false as const,
    // Of the application itself, on the same host: kubelet does not verify it either.
    rejectUnauthorized: false,
    ...(host === 'localhost' ? {} : { localAddress }),
  }
  const send = get.scheme?.toLowerCase() === 'https' ? lazyHttps().request : httpRequest
  return () =>
    new Promise((resolve, reject) => {
      const outgoing = send({ ...options, signal: deadlineAfter(timeoutMs) }, (answer: IncomingMessage) => {
        const code = answer.statusCode ?? 0
        answer.destroy()
        if (code >= 200 && code < 400) resolve()
        else reject(new Error(`status code was not from [200,400), bad code ${code}`))
      })
      refuseUpgrade(outgoing)
      outgoing.on('error', reject)
      outgoing.end()
    })
}

function tcpProber(host: string, port: number, timeoutMs: number): Prober {
  return () =>
    new Promise((resolve, reject) => {
      const socket = connect({ host, port, timeout: timeoutMs })
      socket.on('connect', () => {
        socket.destroy()
        resolve()
      })
      socket.on('timeout', () => socket.destroy(new Error(`dial tcp ${host}:${port}: i/o timeout`)))
      socket.on('error', reject)
    })
}

function execProber(command: readonly string[], timeoutMs: number): Prober {
  const [file, ...args] = command
  return () =>
    new Promise((resolve, reject) => {
      execFile(file as string, args, { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 1 << 20 }, error => {
        if (error === null) resolve()
        else reject(new Error(error.killed ? `command timeout exceeded: ${error.message}` : error.message))
      })
    })
}
