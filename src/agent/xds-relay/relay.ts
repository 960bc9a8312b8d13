import { mkdirSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import type { ServerDuplexStream, ServiceDefinition } from '@grpc/grpc-js'
import { AgentError } from '../agent-error.ts'
import { GrpcSocket } from '../grpc-socket.ts'
import { Logger } from '../log.ts'
import type { WasmModules } from '../wasm/module-cache.ts'
import type { RelayMetrics } from './metrics.ts'
import { DELTA, type RelayProtocol, STATE_OF_THE_WORLD } from './protocol.ts'
import { RelayStream, type ResourceHandler, type WorkloadHealth } from './stream.ts'
import type { Upstream } from './upstream.ts'

export interface RelayOptions {
  /** Of the Unix socket that the bootstrap names. */
  readonly path: string
  readonly upstream: Upstream
  /** Types that the agent follows for itself, by type URL. */
  readonly handlers: ReadonlyMap<string, ResourceHandler>
  /** null: ISTIO_AGENT_ENABLE_WASM_REMOTE_LOAD_CONVERSION=false */
  readonly wasm: WasmModules | null
  readonly metrics: RelayMetrics
}

type Downstream = ServerDuplexStream<Buffer, Buffer>

const log = new Logger('xdsproxy')

/** Aggregated discovery on a Unix socket for the proxy of the pod, passed on to istiod with the credentials of the agent. */
export class XdsRelay {
  readonly #options: RelayOptions
  readonly #server: GrpcSocket
  #current: RelayStream | null = null
  #health: WorkloadHealth = null
  #streams = 0

  constructor(options: RelayOptions) {
    this.#options = options
    const { keepaliveMs, keepaliveTimeoutMs } = options.upstream
    this.#server = new GrpcSocket({
      options: {
        'grpc.max_receive_message_length': -1,
        'grpc.max_send_message_length': -1,
        'grpc.keepalive_time_ms': keepaliveMs,
        'grpc.keepalive_timeout_ms': keepaliveTimeoutMs,
      },
      service: SERVICE,
      handlers: {
        delta: (stream: Downstream) => this.#accept(stream, DELTA),
        sotw: (stream: Downstream) => this.#accept(stream, STATE_OF_THE_WORLD),
      },
    })
  }

  /** Rejects with AgentError when the socket cannot be made. */
  async listen(): Promise<void> {
    const { path, upstream } = this.#options
    const cluster = upstream.headers.find(([name]) => name === 'clusterid')?.[1] ?? ''
    log.info(`Initializing with upstream address "${upstream.address}" and cluster "${cluster}"`)
    try {
      rmSync(path, { force: true })
      mkdirSync(dirname(path), { recursive: true, mode: 0o750 })
      await this.#server.listen(path)
    } catch (error) {
      throw new AgentError(
        `failed to start xds proxy: failed to listen on unix socket "${path}": ${(error as Error).message}`,
      )
    }
  }

  /** A change of the application's health, told to istiod now and at the beginning of every stream to come. */
  setHealth(health: WorkloadHealth): void {
    this.#health = health
    this.#current?.sendHealth(health)
  }

  close(): void {
    this.#server.close()
    this.#current?.supersede()
    rmSync(this.#options.path, { force: true })
  }

  #accept(downstream: Downstream, protocol: RelayProtocol): void {
    log.debug(
      protocol.isDelta
        ? 'accepted delta xds connection from envoy, forwarding to upstream'
        : 'accepted XDS connection from Envoy, forwarding to upstream XDS server',
    )
    const { upstream, handlers, wasm, metrics } = this.#options
    const stream: RelayStream = new RelayStream(downstream, {
      id: ++this.#streams,
      protocol,
      upstream,
      handlers,
      wasm,
      metrics,
      health: () => this.#health,
      onClosed: () => {
        if (this.#current === stream) this.#current = null
      },
    })
    if (this.#current !== null) {
      log.warn('registered overlapping stream; closing previous')
      this.#current.supersede()
    }
    this.#current = stream
    stream.start()
  }
}

const identity = (bytes: Buffer): Buffer => bytes
const METHOD = {
  requestStream: true,
  responseStream: true,
  requestSerialize: identity,
  requestDeserialize: identity,
  responseSerialize: identity,
  responseDeserialize: identity,
} as const
const SERVICE: ServiceDefinition = {
  delta: { path: DELTA.method, ...METHOD },
  sotw: { path: STATE_OF_THE_WORLD.method, ...METHOD },
}
