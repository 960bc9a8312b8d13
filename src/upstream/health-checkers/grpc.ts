import { HeaderBlock, internName } from '../../codec/header-block.ts'
import type { HealthCheckerConfig } from '../cluster-config.ts'
import type { HealthChecker, Probe } from './checker.ts'
import { type ExchangeUser, HttpExchange } from './http-exchange.ts'
import type { HealthCheckSession } from './session.ts'

type Config = Extract<HealthCheckerConfig, { kind: 'grpc' }>

/** grpc.health.v1.HealthCheckResponse.ServingStatus SERVING */
const SERVING = 1
/** A status message is a few bytes. */
const MAX_RESPONSE = 4096

/** grpc_health_check: grpc.health.v1.Health/Check over our HTTP/2 codec (GrpcHealthCheckerImpl). */
export class GrpcProbe implements Probe, ExchangeUser {
  private readonly checker: HealthChecker
  private readonly session: HealthCheckSession
  private readonly config: Config
  private readonly exchange: HttpExchange
  private readonly message: Uint8Array
  private body: Buffer = Buffer.alloc(0)
  private status = 0
  private grpcStatus = ''

  constructor(checker: HealthChecker, session: HealthCheckSession, config: Config) {
    this.checker = checker
    this.session = session
    this.config = config
    this.exchange = new HttpExchange(checker, session, this, true)
    this.message = encodeRequest(config.serviceName)
  }

  begin(): void {
    this.body = Buffer.alloc(0)
    this.status = 0
    this.grpcStatus = ''
    const h = new HeaderBlock()
    h.method = 'POST'
    h.scheme = 'http'
    h.path = '/grpc.health.v1.Health/Check'
    h.authority =
      this.config.authority || this.session.host.config.healthCheck?.hostname || this.checker.hosts.config.name
    h.push('te', 'trailers')
    h.push('content-type', 'application/grpc')
    h.push('user-agent', 'Envoy/HC')
    for (const add of this.config.headersToAdd) {
      if (add.append) h.push(internName(add.name), add.value)
      else h.set(internName(add.name), add.value)
    }
    this.exchange.request(h, Buffer.from(this.message))
  }

  abandon(): void {
    this.exchange.close()
  }

  close(): void {
    this.exchange.close()
  }

  onHead(h: HeaderBlock): void {
    this.status = h.status
    this.grpcStatus = h.get('grpc-status') ?? ''
  }

  onBody(chunk: Uint8Array): void {
    if (this.body.length < MAX_RESPONSE) this.body = Buffer.concat([this.body, chunk])
  }

  onDone(trailers: HeaderBlock | null): void {
    const status = trailers?.get('grpc-status') ?? this.grpcStatus
    if (this.status === 200 && status === '0' && servingStatus(this.body) === SERVING) this.session.passed(false)
    else this.session.failed('ACTIVE', false, this.status)
  }

  onBroken(): void {
    this.session.failed('NETWORK', false)
  }
}

/** HealthCheckRequest { string service = 1 } in a gRPC frame. */
function encodeRequest(service: string): Uint8Array {
  const name = Buffer.from(service)
  const size = [...varint(name.length)]
  const body = service === '' ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, ...size]), name])
  const frame = Buffer.alloc(5 + body.length)
  frame.writeUInt32BE(body.length, 1)
  body.copy(frame, 5)
  return frame
}

function* varint(n: number): Generator<number> {
  while (n > 127) {
    yield (n & 127) | 128
    n >>>= 7
  }
  yield n
}

/** `status` (field 1) of the one HealthCheckResponse in `data`; -1 when it is not one, 0 (UNKNOWN) when the field is absent. */
function servingStatus(data: Buffer): number {
  if (data.length < 5 || data[0] !== 0 || data.readUInt32BE(1) !== data.length - 5) return -1
  let status = 0
  let at = 5
  while (at < data.length) {
    // Only small varint fields exist in this message.
    const key = data[at]!
    const value = data[at + 1]
    if ((key & 7) !== 0 || value === undefined || value > 127) return -1
    if (key >> 3 === 1) status = value
    at += 2
  }
  return status
}
