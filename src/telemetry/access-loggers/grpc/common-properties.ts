import { lazyCrypto } from '../../../base/lazy-modules.ts'
import { encodeStruct, type StructFields } from '../../../config/struct-wire.ts'
import type { WireWriter } from '../../../config/wire-writer.ts'
import type { Address, TlsInfo } from '../../../io/connection.ts'
import { type CustomTag, compileCustomTags } from '../../custom-tags.ts'
import type { AccessLogType, FormatContext } from '../../format-context.ts'
import { stateObject } from '../../format-operators-metadata.ts'
import { ResponseFlag, type StreamInfo } from '../../stream-info.ts'
import type { AlsConfig } from './als-config.ts'
import { textField } from './fields.ts'
import { writeTls } from './tls-properties.ts'

/** Makes envoy.data.accesslog.v3.AccessLogCommon (GrpcCommon::Utility::extractCommonAccessLogProperties). */
export class CommonProperties {
  readonly #filterState: readonly string[]
  readonly #tags: readonly CustomTag[]

  constructor({ filterState, customTags }: AlsConfig) {
    this.#filterState = filterState
    this.#tags = compileCustomTags(customTags)
  }

  write(w: WireWriter, context: FormatContext, type: AccessLogType): void {
    const mark = w.tagged(1)
    writeCommon(w, context, type, this.#filterState, this.#tags)
    w.close(mark)
  }
}

function writeCommon(
  w: WireWriter,
  context: FormatContext,
  type: AccessLogType,
  filterState: readonly string[],
  tags: readonly CustomTag[],
): void {
  const { info } = context
  const { connection } = info
  if (connection !== null) {
    writeAddress(w, 2, info.client ?? connection.remote)
    writeAddress(w, 3, connection.local)
    writeTlsProperties(w, connection.requestedServerName, connection.tls)
  }
  writeTimes(w, info)
  if (info.upstreamHost !== '') writeAddressText(w, 13, info.upstreamHost)
  if (info.upstreamLocal !== '') writeAddressText(w, 14, info.upstreamLocal)
  if (info.upstreamHost !== '') textField(w, 15, info.upstreamClusterName)
  if (info.flags !== 0) writeFlags(w, info.flags)
  if (info.dynamicMetadata !== null) writeMetadata(w, info.dynamicMetadata)
  textField(w, 18, info.upstreamTransportFailure)
  textField(w, 19, info.routeName)
  if (connection !== null) writeAddress(w, 20, connection.directRemote)
  for (let i = 0; i < filterState.length; i++) writeState(w, info, filterState[i]!)
  for (let i = 0; i < tags.length; i++) writeTag(w, tags[i]!, context)
  writeDuration(w, 23, info.start, info.end)
  w.uintField(24, info.upstreamAttempts)
  textField(w, 25, info.connectionTerminationDetails)
  // A connection has an id of its own; a request that came to nothing has none.
  textField(w, 26, info.protocol === '' ? lazyCrypto().randomUUID() : info.requestId)
  w.boolField(27, info.end < 0)
  textField(w, 28, info.downstreamTransportFailure)
  w.uintField(29, info.downstreamWireBytesSent)
  w.uintField(30, info.downstreamWireBytesReceived)
  w.uintField(31, info.upstreamWireBytesSent)
  w.uintField(32, info.upstreamWireBytesReceived)
  w.uintField(33, TYPES[type])
}

const TYPES: Readonly<Record<AccessLogType, number>> = {
  NotSet: 0,
  TcpUpstreamConnected: 1,
  TcpPeriodic: 2,
  TcpConnectionEnd: 3,
  DownstreamStart: 4,
  DownstreamPeriodic: 5,
  DownstreamEnd: 6,
  UpstreamPoolReady: 7,
  UpstreamPeriodic: 8,
  UpstreamEnd: 9,
  DownstreamTunnelSuccessfullyEstablished: 10,
}

function writeTimes(w: WireWriter, info: StreamInfo): void {
  const start = w.tagged(5)
  const { startWall } = info
  w.uintField(1, Math.floor(startWall / 1000))
  w.uintField(2, Math.round((startWall % 1000) * 1e6))
  w.close(start)
  writeDuration(w, 6, info.start, info.lastDownstreamRx)
  writeDuration(w, 7, info.start, info.firstUpstreamTx)
  writeDuration(w, 8, info.start, info.lastUpstreamTx)
  writeDuration(w, 9, info.start, info.firstUpstreamRx)
  writeDuration(w, 10, info.start, info.lastUpstreamRx)
  writeDuration(w, 11, info.start, info.firstDownstreamTx)
  writeDuration(w, 12, info.start, info.lastDownstreamTx)
}

function writeDuration(w: WireWriter, field: number, start: number, end: number): void {
  if (end < 0 || start < 0) return
  const ms = Math.max(0, end - start)
  const mark = w.tagged(field)
  w.uintField(1, Math.floor(ms / 1000))
  w.uintField(2, Math.floor((ms % 1000) * 1e6))
  w.close(mark)
}

/** envoy.config.core.v3.Address. */
function writeAddress(w: WireWriter, field: number, address: Address): void {
  const mark = w.tagged(field)
  const { internal } = address
  if (internal !== undefined) writeInternal(w, internal.listener, internal.endpointId)
  else if (address.ip.startsWith('/') || address.ip.startsWith('@')) writePipe(w, address.ip)
  else writeSocket(w, address.ip, address.port)
  w.close(mark)
}

/** An address as it is printed: `10.0.0.1:80`, `[::1]:80`, `/run/x`, `envoy://listener/id`. */
function writeAddressText(w: WireWriter, field: number, text: string): void {
  const mark = w.tagged(field)
  const colon = text.lastIndexOf(':')
  if (text.startsWith(INTERNAL)) {
    const slash = text.indexOf('/', INTERNAL.length)
    const end = slash < 0 ? text.length : slash
    writeInternal(w, text.slice(INTERNAL.length, end), text.slice(end + 1))
  } else if (colon < 0 || text.startsWith('/') || text.startsWith('@')) writePipe(w, text)
  else {
    const ip = text.startsWith('[') ? text.slice(1, colon - 1) : text.slice(0, colon)
    writeSocket(w, ip, Number(text.slice(colon + 1)))
  }
  w.close(mark)
}

const INTERNAL = 'envoy://'

function writeInternal(w: WireWriter, listener: string, endpointId: string): void {
  const mark = w.tagged(3)
  w.stringField(1, listener)
  w.stringField(2, endpointId)
  w.close(mark)
}

function writeSocket(w: WireWriter, ip: string, port: number): void {
  const mark = w.tagged(1)
  textField(w, 2, ip)
  // A port is a member of a oneof: 0 is written too.
  w.tag(3, 0)
  w.varint(port)
  w.close(mark)
}

function writePipe(w: WireWriter, path: string): void {
  const mark = w.tagged(2)
  w.stringField(1, path)
  w.close(mark)
}

function writeTlsProperties(w: WireWriter, sni: string, tls: TlsInfo | null): void {
  if (sni === '' && tls === null) return
  const mark = w.tagged(4)
  writeTls(w, sni, tls)
  w.close(mark)
}

/** Fields of ResponseFlags by bit; 13 is a message, the last ones have none. */
const LAST_FLAG_FIELD = 28

function writeFlags(w: WireWriter, flags: number): void {
  const mark = w.tagged(16)
  for (let bit = 0; bit < LAST_FLAG_FIELD; bit++) {
    if ((flags & (1 << bit)) === 0) continue
    if (bit === ResponseFlag.DropOverLoad) continue
    if (bit === ResponseFlag.UnauthorizedExternalService) {
      const inner = w.tagged(13)
      w.uintField(1, 1)
      w.close(inner)
    } else w.boolField(bit + 1, true)
  }
  if ((flags & (1 << ResponseFlag.DownstreamRemoteReset)) !== 0) w.boolField(LAST_FLAG_FIELD, true)
  w.close(mark)
}

function writeMetadata(w: WireWriter, metadata: Readonly<Record<string, Readonly<Record<string, unknown>>>>): void {
  const names = Object.keys(metadata)
  if (names.length === 0) return
  const mark = w.tagged(17)
  for (const name of names) {
    const entry = w.tagged(1)
    w.stringField(1, name)
    w.tag(2, 2)
    w.bytes(encodeStruct(metadata[name] as StructFields))
    w.close(entry)
  }
  w.close(mark)
}

function writeTag(w: WireWriter, tag: CustomTag, context: FormatContext): void {
  const value = tag.value(context)
  if (value === '') return
  const mark = w.tagged(22)
  textField(w, 1, tag.name)
  textField(w, 2, value)
  w.close(mark)
}

/** Texts as StringValue, everything else as Struct: what Envoy's own objects of the kind are packed as. */
function writeState(w: WireWriter, info: StreamInfo, key: string): void {
  const found = stateObject(info, key)
  if (found === null) return
  const mark = w.tagged(21)
  w.stringField(1, key)
  const any = w.tagged(2)
  if (typeof found === 'string') {
    w.stringField(1, 'type.googleapis.com/google.protobuf.StringValue')
    const value = w.tagged(2)
    w.stringField(1, found)
    w.close(value)
  } else {
    w.stringField(1, 'type.googleapis.com/google.protobuf.Struct')
    w.bytesField(2, encodeStruct(found as StructFields))
  }
  w.close(any)
  w.close(mark)
}
