import { GrpcStatus } from '../../base/grpc-status.ts'
import { WireReader } from '../../config/wire-reader.ts'
import { take, text } from '../../xds/discovery-wire.ts'

/** What the relay looks at of a request; the bytes themselves go on as they came. */
export interface RequestHead {
  readonly typeUrl: string
  /** State of the world only, else ''. */
  readonly version: string
  readonly nonce: string
}

export interface ResponseHead {
  readonly typeUrl: string
  /** version_info or system_version_info. */
  readonly version: string
  readonly nonce: string
  /** How many resources. */
  readonly count: number
  /** Bytes of the first one's Any; null when there is none. */
  readonly first: Uint8Array | null
}

/** One of the two protocols of aggregated discovery, by hand: the agent does without the descriptors of the proxy. */
export interface RelayProtocol {
  readonly method: string
  readonly isDelta: boolean
  /** Throws WireError on malformed bytes. */
  requestHead(bytes: Uint8Array): RequestHead
  /** Throws WireError on malformed bytes. */
  responseHead(bytes: Uint8Array): ResponseHead
  /** A request of the agent itself: subscription (no nonce), ACK, or NACK with the message of error_detail. */
  request(head: RequestHead, error: string | null): Buffer
  /** The response with each resource's Any replaced by what `replace` returns (null: stays); all other bytes as they were. */
  replaceResources(bytes: Uint8Array, replace: (any: Uint8Array) => Uint8Array | null): Uint8Array
}

const SERVICE = '/envoy.service.discovery.v3.AggregatedDiscoveryService/'

export const STATE_OF_THE_WORLD: RelayProtocol = {
  method: `${SERVICE}StreamAggregatedResources`,
  isDelta: false,
  // DiscoveryRequest {version_info = 1, type_url = 4, response_nonce = 5}
  requestHead: bytes => requestHead(bytes, 0x0a, 0x22, 0x2a),
  responseHead: bytes => responseHead(bytes, any => any),
  request: ({ typeUrl, version, nonce }, error) =>
    Buffer.concat([field(1, version), field(4, typeUrl), field(5, nonce), status(6, error)]),
  replaceResources: (bytes, replace) => replaceField2(bytes, replace),
}

export const DELTA: RelayProtocol = {
  method: `${SERVICE}DeltaAggregatedResources`,
  isDelta: true,
  // DeltaDiscoveryRequest {type_url = 2, response_nonce = 6}
  requestHead: bytes => requestHead(bytes, 0, 0x12, 0x32),
  responseHead: bytes => responseHead(bytes, resourceBody),
  request: ({ typeUrl, nonce }, error) => Buffer.concat([field(2, typeUrl), field(6, nonce), status(7, error)]),
  // Resource {resource = 2}: the Any has the same number inside as the resource outside.
  replaceResources: (bytes, replace) =>
    replaceField2(bytes, resource => {
      const replaced = replaceField2(resource, replace)
      return replaced === resource ? null : replaced
    }),
}

function requestHead(bytes: Uint8Array, versionTag: number, typeTag: number, nonceTag: number): RequestHead {
  const reader = new WireReader(bytes)
  let version = ''
  let typeUrl = ''
  let nonce = ''
  while (reader.at < reader.end) {
    const tag = reader.uint32()
    if (tag === typeTag) typeUrl = text(take(reader))
    else if (tag === nonceTag) nonce = text(take(reader))
    else if (tag === versionTag) version = text(take(reader))
    else reader.skip(tag & 7)
  }
  return { typeUrl, version, nonce }
}

/** Both responses: {version = 1, resources = 2, type_url = 4, nonce = 5}. */
function responseHead(bytes: Uint8Array, anyOf: (resource: Uint8Array) => Uint8Array | null): ResponseHead {
  const reader = new WireReader(bytes)
  let version = ''
  let typeUrl = ''
  let nonce = ''
  let count = 0
  let resource: Uint8Array | null = null
  while (reader.at < reader.end) {
    const tag = reader.uint32()
    if (tag === 0x12) {
      const part = take(reader)
      if (count++ === 0) resource = part
    } else if (tag === 0x22) typeUrl = text(take(reader))
    else if (tag === 0x2a) nonce = text(take(reader))
    else if (tag === 0x0a) version = text(take(reader))
    else reader.skip(tag & 7)
  }
  return { typeUrl, version, nonce, count, first: resource === null ? null : anyOf(resource) }
}

function resourceBody(bytes: Uint8Array): Uint8Array | null {
  const reader = new WireReader(bytes)
  let body: Uint8Array | null = null
  while (reader.at < reader.end) {
    const tag = reader.uint32()
    if (tag === 0x12) body = take(reader)
    else reader.skip(tag & 7)
  }
  return body
}

function replaceField2(bytes: Uint8Array, replace: (value: Uint8Array) => Uint8Array | null): Uint8Array {
  const reader = new WireReader(bytes)
  const parts: Uint8Array[] = []
  let copied = 0
  while (reader.at < reader.end) {
    const start = reader.at
    const tag = reader.uint32()
    if (tag !== 0x12) {
      reader.skip(tag & 7)
      continue
    }
    const replaced = replace(take(reader))
    if (replaced === null) continue
    parts.push(bytes.subarray(copied, start), field(2, replaced))
    copied = reader.at
  }
  if (parts.length === 0) return bytes
  parts.push(bytes.subarray(copied))
  return Buffer.concat(parts)
}

/** google.rpc.Status {code = 1, message = 2}. */
function status(number: number, message: string | null): Buffer {
  return message === null
    ? EMPTY
    : field(number, Buffer.concat([Buffer.from([0x08, GrpcStatus.Internal]), field(2, message)]))
}

const EMPTY = Buffer.alloc(0)

/** A length-delimited field with a number below 16; nothing for an empty text, as proto3 has it. */
function field(number: number, value: string | Uint8Array): Buffer {
  if (value === '') return EMPTY
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  const head = [(number << 3) | 2]
  let length = bytes.length
  for (; length > 0x7f; length >>>= 7) head.push((length & 0x7f) | 0x80)
  head.push(length)
  return Buffer.concat([Buffer.from(head), bytes])
}
