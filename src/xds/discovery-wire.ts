import { encodeMessage } from '../config/binary.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { WireReader } from '../config/wire-reader.ts'
import type { SotwRequest } from './subscription.ts'

/** A DiscoveryResponse with its resources still as bytes: each is judged, and kept for config_dump, by itself. */
export interface DiscoveryResponse {
  readonly version: string
  readonly typeUrl: string
  readonly nonce: string
  readonly controlPlane: string
  readonly resources: readonly RawResource[]
}

export interface RawResource {
  readonly typeUrl: string
  readonly bytes: Uint8Array
}

/** Throws WireError on malformed bytes. */
export function decodeResponse(bytes: Uint8Array): DiscoveryResponse {
  const reader = new WireReader(bytes)
  let version = ''
  let typeUrl = ''
  let nonce = ''
  let controlPlane = ''
  const resources: RawResource[] = []
  while (reader.at < reader.end) {
    const tag = reader.uint32()
    switch (tag) {
      case 0x0a:
        version = text(take(reader))
        break
      case 0x12:
        resources.push(decodeAny(take(reader)))
        break
      case 0x22:
        typeUrl = text(take(reader))
        break
      case 0x2a:
        nonce = text(take(reader))
        break
      case 0x32:
        controlPlane = decodeAny(take(reader)).typeUrl
        break
      default:
        reader.skip(tag & 7)
    }
  }
  return { version, typeUrl, nonce, controlPlane, resources }
}

/** Any {type_url = 1, value = 2}; ControlPlane {identifier = 1} has the same first field. */
export function decodeAny(bytes: Uint8Array): RawResource {
  const reader = new WireReader(bytes)
  let typeUrl = ''
  let value: Uint8Array = new Uint8Array(0)
  while (reader.at < reader.end) {
    const tag = reader.uint32()
    if (tag === 0x0a) typeUrl = text(take(reader))
    else if (tag === 0x12) value = take(reader)
    else reader.skip(tag & 7)
  }
  return { typeUrl, bytes: value }
}

/** google.rpc.Code INTERNAL: what Envoy puts into every NACK, as seen on the wire. */
export const NACK_CODE = 13

export function encodeRequest(request: SotwRequest, node: envoy.config.core.v3.Node | undefined): Uint8Array {
  return encodeMessage('envoy.service.discovery.v3.DiscoveryRequest', {
    version_info: request.version,
    ...(node === undefined ? {} : { node }),
    resource_names: request.names,
    type_url: request.typeUrl,
    response_nonce: request.nonce,
    ...(request.error === '' ? {} : { error_detail: { code: NACK_CODE, message: request.error } }),
  })
}

/** A SotW request as a server or relay reads it. */
export interface RequestMessage {
  readonly version: string
  /** The encoded Node; null = none came. */
  readonly node: Uint8Array | null
  readonly names: readonly string[]
  readonly typeUrl: string
  readonly nonce: string
  /** Message of error_detail; null: no NACK. */
  readonly error: string | null
}

/** For servers and relays. Throws WireError on malformed bytes. */
export function decodeRequest(bytes: Uint8Array): RequestMessage {
  const reader = new WireReader(bytes)
  let version = ''
  let node: Uint8Array | null = null
  let typeUrl = ''
  let nonce = ''
  let error: string | null = null
  const names: string[] = []
  while (reader.at < reader.end) {
    const tag = reader.uint32()
    switch (tag) {
      case 0x0a:
        version = text(take(reader))
        break
      case 0x12:
        node = take(reader)
        break
      case 0x1a:
        names.push(text(take(reader)))
        break
      case 0x22:
        typeUrl = text(take(reader))
        break
      case 0x2a:
        nonce = text(take(reader))
        break
      case 0x32:
        // google.rpc.Status {code = 1, message = 2}
        error = text(decodeAny(take(reader)).bytes)
        break
      default:
        reader.skip(tag & 7)
    }
  }
  return { version, node, names, typeUrl, nonce, error }
}

/** For servers and relays: the resources go out as they are. */
export function encodeResponse(response: DiscoveryResponse): Uint8Array {
  return encodeMessage('envoy.service.discovery.v3.DiscoveryResponse', {
    version_info: response.version,
    resources: response.resources.map(({ typeUrl, bytes }) => ({ type_url: typeUrl, value: bytes })),
    type_url: response.typeUrl,
    nonce: response.nonce,
    ...(response.controlPlane === '' ? {} : { control_plane: { identifier: response.controlPlane } }),
  })
}

export function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')
}

/** The length-delimited value at the reader, without a copy. */
export function take(reader: WireReader): Uint8Array {
  const end = reader.delimited()
  const part = reader.bytes.subarray(reader.at, end)
  reader.at = end
  return part
}
