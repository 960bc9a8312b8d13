import type { ServerDuplexStream, StatusObject } from '@grpc/grpc-js'
import { GrpcStatus } from '../../base/grpc-status.ts'
import { decodeAny } from '../../xds/discovery-wire.ts'
import { Logger } from '../log.ts'
import type { WasmModules } from '../wasm/module-cache.ts'
import type { RelayMetrics } from './metrics.ts'
import type { RelayProtocol, ResponseHead } from './protocol.ts'
import { isExpected, type StreamStatus, statusText } from './status.ts'
import { openStream, type Upstream, type UpstreamCall } from './upstream.ts'
import { localWasm, type RemoteWasm, remoteWasmOf } from './wasm.ts'

export const LISTENER = 'type.googleapis.com/envoy.config.listener.v3.Listener'
const EXTENSION_CONFIG = 'type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig'
const HEALTH_INFORMATION = 'type.googleapis.com/istio.v1.HealthInformation'
const WORKLOAD = 'type.googleapis.com/istio.workload.Workload'

/** Takes the one resource of a type that the agent itself follows. Throwing Error makes it a NACK. */
export type ResourceHandler = (resource: Uint8Array) => void

/** Health of the application, as last probed; '' is healthy. */
export type WorkloadHealth = { readonly unhealthy: string } | null

export interface StreamOptions {
  /** Counts up over all streams, for the log. */
  readonly id: number
  readonly protocol: RelayProtocol
  readonly upstream: Upstream
  /** By type URL. */
  readonly handlers: ReadonlyMap<string, ResourceHandler>
  /** null: resources with modules to be fetched go to the proxy as they are. */
  readonly wasm: WasmModules | null
  readonly metrics: RelayMetrics
  readonly health: () => WorkloadHealth
  readonly onClosed: () => void
}

const log = new Logger('xdsproxy')

const HTTP_FILTERS = 'envoy.filters.http.'
const WASM_FILTER = 'envoy.filters.http.wasm'

/** Nothing is fetched for a proxy that would refuse it: its plugins fail open or closed, as they ask for. */
const NO_WASM: WasmModules = {
  get: () => Promise.reject(new Error('the proxy has no filter that runs Wasm modules')),
}

/**
 * One stream of the proxy joined to one stream of its own to istiod. Either ends with the other, so that the proxy begins anew with
 * whatever istiod comes next. Bytes go through as they are; types that only the agent understands end here.
 */
export class RelayStream {
  readonly #options: StreamOptions
  readonly #downstream: ServerDuplexStream<Buffer, Buffer>
  readonly #labels: { readonly id: number }
  #upstream: UpstreamCall | null = null
  #connected = false
  #listenersAsked = false
  #over = false
  /** Of ECDS: a NACK repeats the version accepted last. */
  #extensionVersion = ''
  /** What the proxy says of itself in its first request: a list of extensions, with none for Wasm. null: before that. */
  #withoutWasm: boolean | null = null
  /** Ends when all modules are there that were asked for; never rejects. null: none are under way. */
  #fetching: Promise<void> | null = null

  constructor(downstream: ServerDuplexStream<Buffer, Buffer>, options: StreamOptions) {
    this.#downstream = downstream
    this.#options = options
    this.#labels = { id: options.id }
  }

  start(): void {
    const { upstream, protocol, metrics } = this.#options
    try {
      this.#upstream = openStream(upstream, protocol.method)
    } catch (error) {
      const details = (error as Error).message
      log.error(`failed to connect to upstream ${upstream.address}: ${details}`)
      metrics.connectionFailure()
      this.#finish({ code: GrpcStatus.Unavailable, details })
      return
    }
    const { call } = this.#upstream
    this.#upstream.onConnected(() => {
      this.#connected = true
      const what = protocol.isDelta ? 'delta upstream' : 'upstream'
      log.info(`connected to ${what} XDS server: ${upstream.address}`, this.#labels)
    })
    call.on('data', (bytes: Buffer) => this.#guarded(() => this.#onResponse(bytes)))
    // The status says the same and more.
    call.on('error', () => {})
    call.on('status', (status: StatusObject) => this.#upstreamEnded(status))
    this.#downstream.on('data', (bytes: Buffer) => this.#guarded(() => this.#onRequest(bytes)))
    this.#downstream.on('end', () => this.#downstreamEnded({ code: GrpcStatus.OK, details: '' }))
    this.#downstream.on('cancelled', () =>
      this.#downstreamEnded({ code: GrpcStatus.Canceled, details: 'context canceled' }),
    )
    this.#downstream.on('error', (error: Error) =>
      this.#downstreamEnded({ code: GrpcStatus.Internal, details: error.message }),
    )
  }

  /** A newer stream of the proxy takes its place. */
  supersede(): void {
    this.#finish({ code: GrpcStatus.OK, details: '' })
  }

  /** Tells istiod of a change; before the proxy asked for listeners it is kept for then. */
  sendHealth(health: WorkloadHealth): void {
    if (health === null || !this.#listenersAsked) return
    this.#request(HEALTH_INFORMATION, '', '', health.unhealthy === '' ? null : health.unhealthy)
  }

  #onRequest(bytes: Buffer): void {
    const { protocol, handlers, metrics, health } = this.#options
    const head = protocol.requestHead(bytes)
    metrics.received(bytes.length)
    if (head.typeUrl === EXTENSION_CONFIG && head.version !== '') this.#extensionVersion = head.version
    // The first request of a stream has the node, whose extensions have names like this one; in later ones it is an error that has them.
    this.#withoutWasm ??= bytes.includes(HTTP_FILTERS) && !bytes.includes(WASM_FILTER)
    this.#send(bytes)
    if (this.#listenersAsked || head.typeUrl !== LISTENER) return
    this.#listenersAsked = true
    // Istiod knows the node by now, and does not have to wait for these.
    for (const typeUrl of handlers.keys()) this.#request(typeUrl, '', '', null)
    this.sendHealth(health())
  }

  #onResponse(bytes: Buffer): void {
    const { protocol, handlers, metrics, wasm } = this.#options
    const head = protocol.responseHead(bytes)
    metrics.response()
    const { typeUrl } = head
    log.debug('upstream response', { ...this.#labels, type: typeUrl, nonce: head.nonce, resources: head.count })
    const handler = handlers.get(typeUrl)
    if (handler !== undefined) this.#handle(handler, head)
    else if (typeUrl === EXTENSION_CONFIG && wasm !== null)
      this.#forwardExtensions(bytes, head, this.#withoutWasm === true ? NO_WASM : wasm)
    else if (typeUrl.startsWith('type.googleapis.com/envoy.') || typeUrl === WORKLOAD) this.#forward(bytes)
    else log.error(`Skipping forwarding type url ${typeUrl} to Envoy as is not a valid Envoy type`)
  }

  /** These types have one resource; without it there is nothing to do, and nothing to accept. */
  #handle(handler: ResourceHandler, head: ResponseHead): void {
    if (head.first === null) return
    let problem: string | null = null
    try {
      const { typeUrl, bytes } = decodeAny(head.first)
      if (typeUrl !== head.typeUrl) {
        throw new Error(`mismatched message type: got "${typeUrl}" want "${head.typeUrl}"`)
      }
      handler(bytes)
    } catch (error) {
      problem = (error as Error).message
      log.error(`failed to apply ${head.typeUrl}: ${problem}`)
    }
    this.#request(head.typeUrl, head.version, head.nonce, problem)
  }

  #forwardExtensions(bytes: Buffer, head: ResponseHead, modules: WasmModules): void {
    const { protocol, metrics } = this.#options
    const start = performance.now()
    const converted = (): void => metrics.wasmConversionDuration(performance.now() - start)
    const found: (RemoteWasm | null)[] = []
    try {
      protocol.replaceResources(bytes, any => {
        found.push(remoteWasmOf(any, metrics.wasmConversion))
        return null
      })
    } catch (error) {
      converted()
      log.debug(`sending NACK for ECDS resources, err: ${(error as Error).message}`)
      this.#request(head.typeUrl, this.#extensionVersion, head.nonce, (error as Error).message)
      return
    }
    if (this.#fetching === null && found.every(remote => remote === null)) {
      converted()
      this.#forward(bytes)
      return
    }
    // Other types go on meanwhile; what istiod says of extensions keeps its order.
    const before = this.#fetching
    const now = this.#forwardLocal(bytes, found, modules, before, converted).then(() => {
      if (this.#fetching === now) this.#fetching = null
    })
    this.#fetching = now
  }

  async #forwardLocal(
    bytes: Buffer,
    found: readonly (RemoteWasm | null)[],
    modules: WasmModules,
    before: Promise<void> | null,
    converted: () => void,
  ): Promise<void> {
    const { protocol, metrics } = this.#options
    const results = await Promise.all(
      found.map(remote => (remote === null ? null : localWasm(remote, modules, metrics.wasmConversion))),
    )
    converted()
    await before
    let at = 0
    this.#guarded(() => this.#forward(Buffer.from(protocol.replaceResources(bytes, () => results[at++] ?? null))))
  }

  /** Istiod is read only as fast as the proxy takes it: pushes are large. */
  #forward(bytes: Buffer): void {
    if (this.#downstream.write(bytes)) return
    const call = this.#upstream?.call
    call?.pause()
    this.#downstream.once('drain', () => call?.resume())
  }

  #request(typeUrl: string, version: string, nonce: string, error: string | null): void {
    this.#send(this.#options.protocol.request({ typeUrl, version, nonce }, error))
  }

  /**
   * Never held back: with both directions under back-pressure the proxy and istiod could each wait for the other to read
   * (istio/istio#39209). Requests are the small side.
   */
  #send(bytes: Buffer): void {
    if (this.#over) return
    this.#options.metrics.request()
    this.#upstream?.call.write(bytes)
  }

  #guarded(act: () => void): void {
    if (this.#over) return
    try {
      act()
    } catch (error) {
      const details = `malformed message: ${(error as Error).message}`
      log.warn(`xds stream ends: ${details}`, this.#labels)
      this.#finish({ code: GrpcStatus.Internal, details })
    }
  }

  #upstreamEnded(status: StreamStatus): void {
    if (this.#over) return
    const { metrics, protocol } = this.#options
    if (!this.#connected && status.code === GrpcStatus.Unavailable) {
      // The proxy says so too.
      log.debug(`failed to create ${protocol.isDelta ? 'delta ' : ''}upstream grpc client: ${statusText(status)}`)
      metrics.istiodTermination(false)
    } else {
      this.#tellEnd('upstream', status)
      metrics.istiodTermination(isExpected(status))
    }
    this.#finish(status)
  }

  #downstreamEnded(status: StreamStatus): void {
    if (this.#over) return
    this.#tellEnd('downstream', status)
    this.#options.metrics.envoyTermination(isExpected(status))
    this.#finish(status)
  }

  #tellEnd(side: 'upstream' | 'downstream', status: StreamStatus): void {
    if (isExpected(status)) log.debug(`${side} terminated with status ${statusText(status)}`, this.#labels)
    else log.warn(`${side} terminated with unexpected error ${statusText(status)}`, this.#labels)
  }

  #finish(status: StreamStatus): void {
    if (this.#over) return
    this.#over = true
    this.#upstream?.close()
    if (status.code === GrpcStatus.OK) this.#downstream.end()
    else if (!this.#downstream.cancelled) this.#downstream.emit('error', status)
    this.#options.onClosed()
  }
}
