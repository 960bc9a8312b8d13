import { latin1 } from '../config/matcher.ts'
import { metadataValue } from '../config/value-match.ts'
import type { FormatContext } from './format-context.ts'
import type { OperatorTable } from './format-operators.ts'
import { type FormatReader, type FormatValue, valueText } from './formatter.ts'
import { QuotedText } from './quoted-text.ts'
import type { StreamInfo } from './stream-info.ts'

type Source = (c: FormatContext) => Readonly<Record<string, unknown>> | null

const SOURCES: Readonly<Record<string, Source>> = {
  DYNAMIC: c => c.info.dynamicMetadata,
  CLUSTER: c => c.info.clusterMetadata,
  ROUTE: c => c.info.routeMetadata,
  UPSTREAM_HOST: c => c.info.hostMetadata,
  LISTENER: c => c.info.listenerMetadata,
  LISTENER_FILTER_CHAIN: c => c.info.filterChainMetadata,
  VIRTUAL_HOST: c => c.info.virtualHostMetadata,
}

/** `namespace:key:key…`; the whole struct without a key. */
function metadata(source: Source, args: string): FormatReader {
  const [namespace = '', ...path] = args.split(':')
  return c => value(metadataValue(source(c), namespace, path))
}

function value(found: unknown): FormatValue {
  if (found === undefined || found === null) return null
  if (typeof found === 'string') return latin1(found)
  return found as number | boolean | object
}

/** TYPED prints JSON (a string in quotes), PLAIN the bare text, FIELD one field of an object. */
function filterState(args: string, of: (info: StreamInfo) => StreamInfo | null): FormatReader {
  const [key = '', kind = 'TYPED', field = ''] = args.split(':')
  return c => {
    const state = of(c.info)?.filterState ?? null
    const found = state !== null && Object.hasOwn(state, key) ? state[key] : undefined
    if (found === undefined || found === null) return null
    if (kind === 'PLAIN') return plain(found)
    if (kind === 'FIELD') {
      const inner = isStateObject(found) ? found.field?.(field) : (found as Record<string, unknown>)[field]
      return inner === undefined ? null : plain(inner)
    }
    return typed(found)
  }
}

function typed(found: unknown): FormatValue {
  if (typeof found === 'string') return new QuotedText(found)
  return value(isStateObject(found) ? found.toJSON() : found)
}

/** An object in the filter state as it is packed: a text, or what its JSON says; null when there is none or it has no typed form. */
export function stateObject(info: StreamInfo, key: string): string | object | null {
  const found = info.state(key)
  if (found === undefined || found === null) return null
  if (isStateObject(found)) return found.toJSON()
  return typeof found === 'object' ? found : String(found)
}

/** JSON of an object in the filter state, latin1; null when there is none or it has no typed form. */
export function stateJson({ info }: FormatContext, key: string): string | null {
  const found = info.state(key)
  const json = found === undefined || found === null ? null : typed(found)
  return json === null || typeof json === 'string' ? json : valueText(json)
}

/** An object that filters share through filter state: it knows its JSON, its text and its fields. */
export interface StateObject {
  /** Null: it has no typed form. */
  toJSON(): object | null
  /** Null: it has no plain one. */
  toString(): string | null
  field?(name: string): string | undefined
}

function isStateObject(found: unknown): found is StateObject {
  return typeof found === 'object' && found !== null && 'toJSON' in found
}

function plain(found: unknown): FormatValue {
  if (isStateObject(found)) {
    const text = found.toString()
    return text === null ? null : latin1(text)
  }
  return typeof found === 'object' ? latin1(JSON.stringify(found)) : latin1(String(found))
}

export const METADATA_OPERATORS: OperatorTable = {
  DYNAMIC_METADATA: args => metadata(SOURCES['DYNAMIC']!, args),
  CLUSTER_METADATA: args => metadata(SOURCES['CLUSTER']!, args),
  UPSTREAM_METADATA: args => metadata(SOURCES['UPSTREAM_HOST']!, args),
  METADATA: args => {
    const [source = '', ...rest] = args.split(':')
    const read = SOURCES[source]
    return read === undefined ? () => null : metadata(read, rest.join(':'))
  },
  FILTER_STATE: args => filterState(args, info => info),
  UPSTREAM_FILTER_STATE: args => filterState(args, info => info.upstream),
}
