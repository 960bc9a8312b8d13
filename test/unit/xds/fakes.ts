import type { Log } from '../../../src/base/log.ts'
import type { Random } from '../../../src/base/random.ts'
import { decodeMessage, encodeMessage } from '../../../src/config/binary.ts'
import { readJson } from '../../../src/config/json-reader.ts'
import type { OpenStream, XdsStream, XdsStreamHandler } from '../../../src/xds/ads-stream.ts'
import type { ResourceType } from '../../../src/xds/resources/type.ts'
import type { DecodePolicy } from '../../../src/xds/resources/xds-resource.ts'

export class FakeLog implements Log {
  readonly lines: string[] = []

  enabled(): boolean {
    return true
  }

  trace(text: string): void {
    this.lines.push(`trace ${text}`)
  }

  debug(text: string): void {
    this.lines.push(`debug ${text}`)
  }

  info(text: string): void {
    this.lines.push(`info ${text}`)
  }

  warning(text: string): void {
    this.lines.push(`warning ${text}`)
  }

  error(text: string): void {
    this.lines.push(`error ${text}`)
  }

  critical(text: string): void {
    this.lines.push(`critical ${text}`)
  }
}

/** Numbers whose remainder is one less than any back-off interval here: the longest wait. */
export const greatest: Random = { next: () => 30_000 * 64 * 15 - 1, next32: () => 2 ** 32 - 1 }

export const lenient: DecodePolicy = { rejectUnknown: false, warn: () => {}, countUnknown: () => {} }

export interface Seen {
  readonly type_url?: string
  readonly version_info?: string
  readonly response_nonce?: string
  readonly resource_names?: readonly string[]
  readonly error_detail?: { readonly code?: number; readonly message?: string }
  readonly node?: { readonly id?: string }
}

/** A control plane in the same process. */
export class FakePlane {
  /** One list of requests per stream. */
  readonly streams: Seen[][] = []
  /** Requests of all streams as they came; of the incremental protocol only these. */
  readonly bytes: Uint8Array[] = []
  handler: XdsStreamHandler | null = null
  closed = 0
  readonly #delta: boolean

  constructor(delta = false) {
    this.#delta = delta
  }

  readonly open: OpenStream = (handler: XdsStreamHandler): XdsStream => {
    const seen: Seen[] = []
    this.streams.push(seen)
    this.handler = handler
    return {
      send: bytes => {
        this.bytes.push(bytes)
        if (this.#delta) return
        seen.push(decodeMessage<Seen>('envoy.service.discovery.v3.DiscoveryRequest', bytes).message)
      },
      close: () => void this.closed++,
    }
  }

  get last(): Seen[] {
    return this.streams.at(-1) ?? []
  }

  answer(type: ResourceType, version: string, nonce: string, resources: readonly object[]): void {
    this.handler!.onMessage(
      encodeMessage('envoy.service.discovery.v3.DiscoveryResponse', {
        version_info: version,
        nonce,
        type_url: type.typeUrl,
        resources: resources.map(json => ({ type_url: type.typeUrl, value: encode(type, json) })),
        control_plane: { identifier: 'fake' },
      }),
    )
  }
}

export function encode(type: ResourceType, json: object): Uint8Array {
  return encodeMessage(type.typeName, readJson<object>(type.typeName, json).message)
}

/** `CDS v=1 n=2 [a b] error` of a request. */
export function short(seen: Seen): string {
  const type = (seen.type_url ?? '').split('.').at(-1)
  const error = seen.error_detail === undefined ? '' : ` ! ${seen.error_detail.code} ${seen.error_detail.message}`
  const names = (seen.resource_names ?? []).join(' ')
  return `${type} v=${seen.version_info ?? ''} n=${seen.response_nonce ?? ''} [${names}]${error}`
}
