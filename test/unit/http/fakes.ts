import { HeaderBlock } from '../../../src/codec/header-block.ts'
import type { WorkloadSource } from '../../../src/config/services.ts'
import type { HttpFilter } from '../../../src/http/filter.ts'
import type { HttpFilterServices } from '../../../src/http/filter-factory.ts'
import type { StreamContext } from '../../../src/http/stream-context.ts'
import { StreamInfo } from '../../../src/telemetry/stream-info.ts'
import { runtimeOf } from '../routing/runtime.ts'
import { FakeRandom, FakeStats, FakeTimers } from '../upstream/fakes.ts'

/** A request head; pseudo headers by their names, `list` in order. */
export function request(fields: Readonly<Record<string, string>> = {}): HeaderBlock {
  const h = new HeaderBlock()
  h.method = 'GET'
  h.path = '/'
  h.authority = 'lab.test'
  h.scheme = 'http'
  for (const [name, value] of Object.entries(fields)) {
    if (name === ':method') h.method = value
    else if (name === ':authority') h.authority = value
    else if (name === ':path') h.path = value
    else h.list.push(name, value)
  }
  return h
}

export function response(status: number, fields: Readonly<Record<string, string>> = {}): HeaderBlock {
  const h = new HeaderBlock()
  h.status = status
  for (const [name, value] of Object.entries(fields)) h.list.push(name, value)
  return h
}

/** The part of a worker's services that filters and the router use here. */
export class FakeServices {
  readonly httpPrefix = 'http.main.'
  readonly timers = new FakeTimers()
  readonly stats = new FakeStats()
  readonly random = new FakeRandom(0)
  readonly workloads: WorkloadSource = { get: () => null }
  readonly clock = { now: () => this.timers.time, wall: () => 1_600_000_000_000 + this.timers.time }
  readonly runtime: ReturnType<typeof runtimeOf>

  constructor(runtime: Readonly<Record<string, string>> = {}) {
    this.runtime = runtimeOf(runtime)
  }

  get asServices(): HttpFilterServices {
    return this as unknown as HttpFilterServices
  }
}

export interface Reply {
  readonly status: number
  readonly body: string
  readonly details: string
  readonly headers: readonly string[]
  readonly grpcStatus: number
}

/** A stream with one filter in its chain. */
export class FakeStream {
  readonly info = new StreamInfo()
  readonly replies: Reply[] = []
  readonly injected: { text: string; end: boolean }[] = []
  continued = 0
  finished = false
  random = 0
  requestHeaders: HeaderBlock | null = null
  readonly responseSource = null
  readonly manager = { bufferLimit: 1 << 20, localAddress: '10.0.0.1' }
  readonly services: FakeServices
  private readonly filter: HttpFilter
  private readonly configs: readonly unknown[]
  private state: unknown

  constructor(filter: HttpFilter, services: FakeServices, configs: readonly unknown[] = []) {
    this.filter = filter
    this.services = services
    this.configs = configs
  }

  get asContext(): StreamContext {
    return this as unknown as StreamContext
  }

  decode(h: HeaderBlock, end = true): number {
    this.requestHeaders = h
    return this.filter.decodeHeaders!(this.asContext, h, end)
  }

  slot(): unknown {
    this.state ??= this.filter.newState!()
    return this.state
  }

  hasSlot(): boolean {
    return this.state !== undefined
  }

  route(): object {
    return {
      filterConfig: () => this.configs[this.configs.length - 1],
      filterConfigs: () => this.configs,
      action: { clusterName: 'a' },
    }
  }

  sendLocalReply(
    status: number,
    body: string,
    details: string,
    headers: HeaderBlock | null = null,
    grpcStatus = -1,
  ): void {
    this.replies.push({ status, body, details, headers: headers === null ? [] : headers.list, grpcStatus })
  }

  continueDecoding(): void {
    this.continued++
  }

  injectResponseData(_index: number, chunk: Uint8Array, end: boolean): void {
    this.injected.push({ text: Buffer.from(chunk).toString(), end })
  }
}
