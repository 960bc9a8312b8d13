import { ConfigError } from '../../../base/errors.ts'
import type { FieldPath } from '../../../config/field-path.ts'
import type { envoy } from '../../../config/gen/messages.d.ts'
import { type GrpcServiceConfig, parseGrpcService } from '../../../config/grpc-service.ts'
import type { GrpcCallUser, GrpcClient, PendingCall, WorkerServices } from '../../../config/services.ts'
import { decodeStruct, type StructFields } from '../../../config/struct-wire.ts'
import { defineSupport } from '../../../config/support.ts'
import { contentOf, eachField, textOf } from '../../../config/wire-fields.ts'
import { WireError, WireReader } from '../../../config/wire-reader.ts'
import { WireWriter } from '../../../config/wire-writer.ts'
import type { RateLimitDescriptor } from '../../../routing/rate-limit.ts'
import type { FormatContext } from '../../../telemetry/format-context.ts'
import { textField } from '../ext-authz/check-attributes.ts'

const METHOD = '/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit'
/** Milliseconds; a limit that nobody can be asked about in that time does not hold. */
export const DEFAULT_LIMIT_TIMEOUT = 20

type ServiceProto = envoy.config.ratelimit.v3.RateLimitServiceConfig

const support = defineSupport<ServiceProto>('envoy.config.ratelimit.v3.RateLimitServiceConfig', {
  grpc_service: 'yes',
  transport_api_version: 'yes',
})

export function parseLimitService(
  proto: ServiceProto | undefined,
  at: FieldPath,
  warnings: string[],
): GrpcServiceConfig {
  support.check(proto ?? {}, at, warnings)
  const service = proto?.grpc_service
  if (service === undefined) {
    throw new ConfigError('CONFIG_INVALID', at, 'a rate limit service is required', { advice: 'set grpc_service' })
  }
  return parseGrpcService(service, at.field('grpc_service'), warnings)
}

export type LimitCode = 'ok' | 'over_limit' | 'error'

/** A limit that one descriptor met. */
export interface LimitStatus {
  over: boolean
  /** current_limit is there. */
  hasLimit: boolean
  requests: number
  /** Seconds; 0 = unknown. */
  window: number
  /** latin1 */
  name: string
  remaining: number
  /** Seconds until it begins anew, with a fraction. */
  reset: number
}

/** envoy.service.ratelimit.v3.RateLimitResponse; texts are latin1. */
export class LimitAnswer {
  code: LimitCode = 'error'
  readonly statuses: LimitStatus[] = []
  /** Name, value, name, value …; names in lower case. */
  readonly responseHeaders: string[] = []
  readonly requestHeaders: string[] = []
  body = ''
  metadata: StructFields | null = null
}

/** Told once, perhaps before `ask` returns. */
export interface LimitUser {
  onLimit(answer: LimitAnswer): void
}

/** A rate limit service, asked about descriptors. */
export class LimitService {
  readonly #client: GrpcClient
  readonly #timeout: number

  constructor(service: GrpcServiceConfig, timeout: number, services: WorkerServices) {
    this.#client = services.callOuts.grpc(service)
    this.#timeout = timeout
  }

  ask(
    domain: string,
    descriptors: readonly RateLimitDescriptor[],
    user: LimitUser,
    parent: FormatContext | null,
  ): PendingCall {
    return this.#client.call(METHOD, encodeRequest(domain, descriptors), this.#timeout, new LimitCall(user), parent)
  }
}

/** For those who do not wait for the answer. */
export const NOBODY: LimitUser = { onLimit() {} }

class LimitCall implements GrpcCallUser {
  readonly #user: LimitUser

  constructor(user: LimitUser) {
    this.#user = user
  }

  onReply(message: Uint8Array): void {
    let answer: LimitAnswer
    try {
      answer = readAnswer(message)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      answer = new LimitAnswer()
    }
    this.#user.onLimit(answer)
  }

  onFailure(): void {
    this.#user.onLimit(new LimitAnswer())
  }
}

function encodeRequest(domain: string, descriptors: readonly RateLimitDescriptor[]): Uint8Array {
  const w = new WireWriter()
  w.stringField(1, domain)
  for (const descriptor of descriptors) w.messageField(2, () => encodeDescriptor(w, descriptor))
  return w.finish()
}

function encodeDescriptor(w: WireWriter, { entries, limit, hits, countsHits, gives }: RateLimitDescriptor): void {
  for (let i = 0; i < entries.length; i += 2) {
    w.messageField(1, () => {
      textField(w, 1, entries[i]!)
      textField(w, 2, entries[i + 1]!)
    })
  }
  if (limit !== null) {
    w.messageField(2, () => {
      w.uintField(1, limit.requests)
      w.uintField(2, limit.unit)
    })
  }
  if (countsHits) w.messageField(3, () => w.uintField(1, hits))
  w.boolField(4, gives)
}

const OVER_LIMIT = 2

/** @throws WireError */
function readAnswer(bytes: Uint8Array): LimitAnswer {
  const answer = new LimitAnswer()
  answer.code = 'ok'
  eachField(new WireReader(bytes), (field, r, number) => {
    if (field === 1) answer.code = number === OVER_LIMIT ? 'over_limit' : 'ok'
    else if (field === 2) answer.statuses.push(readStatus(r))
    else if (field === 3) readHeader(r, answer.responseHeaders)
    else if (field === 4) readHeader(r, answer.requestHeaders)
    else if (field === 5) answer.body = textOf(r)
    else if (field === 6) answer.metadata = decodeStruct(contentOf(r))
  })
  return answer
}

/** Seconds of SECOND, MINUTE, HOUR, DAY, MONTH, YEAR, WEEK. */
const WINDOWS: readonly number[] = [0, 1, 60, 3600, 86_400, 2_592_000, 31_536_000, 604_800]

function readStatus(message: WireReader): LimitStatus {
  const status: LimitStatus = { over: false, hasLimit: false, requests: 0, window: 0, name: '', remaining: 0, reset: 0 }
  eachField(message, (field, r, number) => {
    if (field === 1) status.over = number === OVER_LIMIT
    else if (field === 2) {
      let multiplier = 0
      status.hasLimit = true
      eachField(r, (inner, part, value) => {
        if (inner === 1) status.requests = value >>> 0
        else if (inner === 2) status.window = WINDOWS[value] ?? 0
        else if (inner === 3) status.name = textOf(part)
        else if (inner === 4) {
          // A UInt32Value.
          eachField(part, (_, __, wrapped) => {
            multiplier = wrapped >>> 0
          })
        }
      })
      if (multiplier > 0) status.window *= multiplier
    } else if (field === 3) status.remaining = number >>> 0
    else if (field === 4) {
      eachField(r, (inner, _, value) => {
        status.reset += inner === 1 ? value : value / 1e9
      })
    }
  })
  return status
}

function readHeader(message: WireReader, out: string[]): void {
  let name = ''
  let value = ''
  eachField(message, (field, r) => {
    if (field === 1) name = textOf(r).toLowerCase()
    else if (field === 2) value = textOf(r)
  })
  out.push(name, value)
}
