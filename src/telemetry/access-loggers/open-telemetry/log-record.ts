import type { FormatExtension } from '../../../config/format-string.ts'
import { latin1 } from '../../../config/matcher.ts'
import type { WireWriter } from '../../../config/wire-writer.ts'
import { type CustomTag, compileCustomTags } from '../../custom-tags.ts'
import type { FormatContext } from '../../format-context.ts'
import { readerOf } from '../../format-operators.ts'
import { stateJson } from '../../format-operators-metadata.ts'
import { compileFormat, type FormatReader, type TextFormatter } from '../../formatter.ts'
import { validUtf8 } from '../../valid-utf8.ts'
import type { EntryConfig, OpenTelemetryConfig, ValueConfig } from './config.ts'

/** Fields of opentelemetry.proto.logs.v1.LogRecord. */
const TIME = 1
const BODY = 5
const ATTRIBUTES = 6
const TRACE_ID = 9
const SPAN_ID = 10
/** Fields of opentelemetry.proto.common.v1.AnyValue. */
const STRING_VALUE = 1
const ARRAY_VALUE = 5
const KVLIST_VALUE = 6

/** Makes opentelemetry.proto.logs.v1.LogRecord of a request or connection. */
export class LogRecordEncoder {
  readonly #body: Value | null
  readonly #attributes: readonly Entry[]
  readonly #filterState: readonly { readonly key: string; readonly name: string }[]
  readonly #tags: readonly CustomTag[]
  readonly #traceId: FormatReader
  readonly #spanId: FormatReader

  constructor(config: OpenTelemetryConfig) {
    this.#body = config.body === null ? null : compileValue(config.body, config.extensions)
    this.#attributes = config.attributes.map(entry => compileEntry(entry, config.extensions))
    this.#filterState = config.filterState.map(key => ({ key, name: latin1(key) }))
    this.#tags = compileCustomTags(config.customTags)
    this.#traceId = readerOf({ kind: 'operator', name: 'TRACE_ID', args: '', length: -1 })
    this.#spanId = readerOf({ kind: 'operator', name: 'SPAN_ID', args: '', length: -1 })
  }

  write(w: WireWriter, context: FormatContext): void {
    writeTime(w, context.info.startWall)
    if (this.#body !== null) writeAny(w, BODY, this.#body, context)
    for (let i = 0; i < this.#attributes.length; i++) writeEntry(w, ATTRIBUTES, this.#attributes[i]!, context)
    const filterState = this.#filterState
    for (let i = 0; i < filterState.length; i++) {
      const { key, name } = filterState[i]!
      const json = stateJson(context, key)
      if (json !== null) writeTextEntry(w, ATTRIBUTES, name, validUtf8(json))
    }
    for (let i = 0; i < this.#tags.length; i++) {
      const tag = this.#tags[i]!
      const value = tag.value(context)
      if (value !== '') writeTextEntry(w, ATTRIBUTES, tag.name, validUtf8(value))
    }
    const traceId = this.#traceId(context)
    // Some tracers have ids of 64 bits; a record has 128 or none.
    if (typeof traceId === 'string' && (traceId.length === 32 || traceId.length === 16)) {
      writeHex(w, TRACE_ID, traceId.padStart(32, '0'))
    }
    const spanId = this.#spanId(context)
    if (typeof spanId === 'string') writeHex(w, SPAN_ID, spanId)
  }
}

type Value =
  | { readonly kind: 'text'; readonly text: TextFormatter }
  | { readonly kind: 'list'; readonly items: readonly Value[] }
  | { readonly kind: 'map'; readonly entries: readonly Entry[] }

interface Entry {
  /** latin1 */
  readonly key: string
  readonly value: Value
}

function compileValue(config: ValueConfig, extensions: readonly FormatExtension[]): Value {
  switch (config.kind) {
    case 'text':
      return { kind: 'text', text: compileFormat(config.text, false, extensions) }
    case 'list':
      return { kind: 'list', items: config.items.map(item => compileValue(item, extensions)) }
    case 'map':
      return { kind: 'map', entries: config.entries.map(entry => compileEntry(entry, extensions)) }
  }
}

function compileEntry(config: EntryConfig, extensions: readonly FormatExtension[]): Entry {
  return { key: latin1(config.key), value: compileValue(config.value, extensions) }
}

/** time_unix_nano, fixed64, from milliseconds: in two halves, since a double holds no nanoseconds of our time. */
function writeTime(w: WireWriter, wall: number): void {
  const micros = Math.round(wall * 1000)
  const low = Math.imul((micros % 0x100000000) | 0, 1000) >>> 0
  w.tag(TIME, 1)
  w.fixed32(low)
  w.fixed32(Math.round((micros * 1000 - low) / 0x100000000))
}

function writeAny(w: WireWriter, field: number, value: Value, context: FormatContext): void {
  if (value.kind === 'text') {
    writeTextValue(w, field, textOf(value.text, context))
    return
  }
  w.tag(field, 2)
  const any = w.open()
  w.tag(value.kind === 'list' ? ARRAY_VALUE : KVLIST_VALUE, 2)
  const content = w.open()
  if (value.kind === 'list') {
    for (let i = 0; i < value.items.length; i++) writeAny(w, 1, value.items[i]!, context)
  } else for (let i = 0; i < value.entries.length; i++) writeEntry(w, 1, value.entries[i]!, context)
  w.close(content)
  w.close(any)
}

function writeEntry(w: WireWriter, field: number, entry: Entry, context: FormatContext): void {
  const { key, value } = entry
  if (value.kind === 'text') {
    writeTextEntry(w, field, key, textOf(value.text, context))
    return
  }
  w.tag(field, 2)
  const mark = w.open()
  writeKey(w, key)
  writeAny(w, 2, value, context)
  w.close(mark)
}

/** A KeyValue with a text: lengths are known, nothing has to be moved. */
function writeTextEntry(w: WireWriter, field: number, key: string, text: string): void {
  const any = textSize(text)
  w.tag(field, 2)
  w.varint((key === '' ? 0 : 1 + varintSize(key.length) + key.length) + 1 + varintSize(any) + any)
  writeKey(w, key)
  writeTextValue(w, 2, text)
}

function writeKey(w: WireWriter, key: string): void {
  if (key === '') return
  w.tag(1, 2)
  w.latin1(key)
}

function writeTextValue(w: WireWriter, field: number, text: string): void {
  w.tag(field, 2)
  w.varint(textSize(text))
  w.tag(STRING_VALUE, 2)
  w.latin1(text)
}

/** Of an AnyValue with string_value, which is there even when it is empty. */
function textSize(text: string): number {
  return 1 + varintSize(text.length) + text.length
}

function varintSize(n: number): number {
  return n < 0x80 ? 1 : n < 0x4000 ? 2 : n < 0x200000 ? 3 : n < 0x10000000 ? 4 : 5
}

function textOf(text: TextFormatter, context: FormatContext): string {
  return text.constant ?? validUtf8(text.format(context))
}

function writeHex(w: WireWriter, field: number, hex: string): void {
  w.tag(field, 2)
  w.bytes(Buffer.from(hex, 'hex'))
}
