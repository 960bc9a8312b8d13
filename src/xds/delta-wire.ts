import { encodeMessage } from '../config/binary.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { WireReader } from '../config/wire-reader.ts'
import type { DeltaRequest } from './delta-subscription.ts'
import { decodeAny, NACK_CODE, type RawResource, take, text } from './discovery-wire.ts'

/** One resource of an incremental response; its bytes are a part of the response, so what is to be kept must be copied. */
export interface RawDeltaResource {
  readonly name: string
  readonly version: string
  readonly aliases: readonly string[]
  /** Milliseconds; null = none. */
  readonly ttl: number | null
  /** null: only said to be there still (heartbeat), or an alias that leads nowhere. */
  readonly body: RawResource | null
}

/** A DeltaDiscoveryResponse whose resources are still bytes. */
export interface DeltaResponse {
  readonly systemVersion: string
  readonly typeUrl: string
  readonly nonce: string
  readonly controlPlane: string
  readonly resources: readonly RawDeltaResource[]
  readonly removed: readonly string[]
}

/** A DeltaDiscoveryRequest as a server reads it. */
export interface DeltaRequestMessage {
  /** The encoded Node; null = none came. */
  readonly node: Uint8Array | null
  readonly typeUrl: string
  readonly subscribe: readonly string[]
  readonly unsubscribe: readonly string[]
  readonly initialVersions: ReadonlyMap<string, string>
  readonly nonce: string
  /** Message of error_detail; null: no NACK. */
  readonly error: string | null
}

/** Throws WireError on malformed bytes. */
export function decodeDeltaResponse(bytes: Uint8Array): DeltaResponse {
  const reader = new WireReader(bytes)
  let systemVersion = ''
  let typeUrl = ''
  let nonce = ''
  let controlPlane = ''
  const resources: RawDeltaResource[] = []
  const removed: string[] = []
  while (reader.at < reader.end) {
    const tag = reader.uint32()
    switch (tag) {
      case 0x0a:
        systemVersion = text(take(reader))
        break
      case 0x12:
        resources.push(decodeResource(take(reader)))
        break
      case 0x22:
        typeUrl = text(take(reader))
        break
      case 0x2a:
        nonce = text(take(reader))
        break
      case 0x32:
        removed.push(text(take(reader)))
        break
      case 0x3a:
        controlPlane = decodeAny(take(reader)).typeUrl
        break
      default:
        reader.skip(tag & 7)
    }
  }
  return { systemVersion, typeUrl, nonce, controlPlane, resources, removed }
}

/** Resource {version = 1, resource = 2, name = 3, aliases = 4, ttl = 6}. */
function decodeResource(bytes: Uint8Array): RawDeltaResource {
  const reader = new WireReader(bytes)
  let name = ''
  let version = ''
  let ttl: number | null = null
  let body: RawResource | null = null
  const aliases: string[] = []
  while (reader.at < reader.end) {
    const tag = reader.uint32()
    switch (tag) {
      case 0x0a:
        version = text(take(reader))
        break
      case 0x12:
        body = decodeAny(take(reader))
        break
      case 0x1a:
        name = text(take(reader))
        break
      case 0x22:
        aliases.push(text(take(reader)))
        break
      case 0x32:
        ttl = decodeDuration(take(reader))
        break
      default:
        reader.skip(tag & 7)
    }
  }
  return { name, version, aliases, ttl, body }
}

/** Duration {seconds = 1, nanos = 2}, in milliseconds. */
function decodeDuration(bytes: Uint8Array): number {
  const reader = new WireReader(bytes)
  let seconds = 0
  let nanos = 0
  while (reader.at < reader.end) {
    const tag = reader.uint32()
    if (tag === 0x08) seconds = Number(BigInt.asIntN(64, reader.varint()))
    else if (tag === 0x10) nanos = Number(BigInt.asIntN(32, reader.varint()))
    else reader.skip(tag & 7)
  }
  return seconds * 1000 + Math.floor(nanos / 1e6)
}

export function encodeDeltaRequest(request: DeltaRequest, node: envoy.config.core.v3.Node | undefined): Uint8Array {
  const { initialVersions, error } = request
  return encodeMessage('envoy.service.discovery.v3.DeltaDiscoveryRequest', {
    ...(node === undefined ? {} : { node }),
    type_url: request.typeUrl,
    resource_names_subscribe: request.subscribe,
    resource_names_unsubscribe: request.unsubscribe,
    ...(initialVersions.size === 0 ? {} : { initial_resource_versions: Object.fromEntries(initialVersions) }),
    response_nonce: request.nonce,
    ...(error === '' ? {} : { error_detail: { code: NACK_CODE, message: error } }),
  })
}

/** For servers and relays. Throws WireError on malformed bytes. */
export function decodeDeltaRequest(bytes: Uint8Array): DeltaRequestMessage {
  const reader = new WireReader(bytes)
  let node: Uint8Array | null = null
  let typeUrl = ''
  let nonce = ''
  let error: string | null = null
  const subscribe: string[] = []
  const unsubscribe: string[] = []
  const initialVersions = new Map<string, string>()
  while (reader.at < reader.end) {
    const tag = reader.uint32()
    switch (tag) {
      case 0x0a:
        node = take(reader)
        break
      case 0x12:
        typeUrl = text(take(reader))
        break
      case 0x1a:
        subscribe.push(text(take(reader)))
        break
      case 0x22:
        unsubscribe.push(text(take(reader)))
        break
      case 0x2a: {
        // A map entry {key = 1, value = 2} has the shape of an Any.
        const { typeUrl: name, bytes: version } = decodeAny(take(reader))
        initialVersions.set(name, text(version))
        break
      }
      case 0x32:
        nonce = text(take(reader))
        break
      case 0x3a:
        // google.rpc.Status {code = 1, message = 2}
        error = text(decodeAny(take(reader)).bytes)
        break
      default:
        reader.skip(tag & 7)
    }
  }
  return { node, typeUrl, subscribe, unsubscribe, initialVersions, nonce, error }
}

/** For servers and relays: the bodies go out as they are. */
export function encodeDeltaResponse(response: DeltaResponse): Uint8Array {
  return encodeMessage('envoy.service.discovery.v3.DeltaDiscoveryResponse', {
    system_version_info: response.systemVersion,
    resources: response.resources.map(({ name, version, aliases, ttl, body }) => ({
      name,
      version,
      aliases,
      ...(ttl === null ? {} : { ttl }),
      ...(body === null ? {} : { resource: { type_url: body.typeUrl, value: body.bytes } }),
    })),
    type_url: response.typeUrl,
    nonce: response.nonce,
    removed_resources: response.removed,
    ...(response.controlPlane === '' ? {} : { control_plane: { identifier: response.controlPlane } }),
  })
}
