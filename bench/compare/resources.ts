import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { ConfigError } from '../../src/base/errors.ts'
import { decodeMessage } from '../../src/config/binary.ts'
import { toJson } from '../../src/config/json-writer.ts'
import { WireError } from '../../src/config/wire-reader.ts'
import { decodeDeltaResponse } from '../../src/xds/delta-wire.ts'
import { decodeResponse, type RawResource } from '../../src/xds/discovery-wire.ts'
import { readConfigDump } from './config-dump.ts'
import { field, isObject, isTyped, type JsonObject, objectField, parseConfiguration } from './json.ts'
import { CompareError } from './options.ts'

/** What one `--resources` holds: everything that the control plane has at one time. */
export interface ResourceSet {
  readonly from: string
  readonly resources: readonly JsonObject[]
  /** False for a config_dump without `include_eds`, which says nothing about endpoints. */
  readonly hasEndpoints: boolean
  /** What was not read, and why. */
  readonly notes: readonly string[]
}

/** Types of resources and the field that names one. */
const NAME_FIELDS: ReadonlyMap<string, string> = new Map([
  ['envoy.config.cluster.v3.Cluster', 'name'],
  ['envoy.config.endpoint.v3.ClusterLoadAssignment', 'cluster_name'],
  ['envoy.config.listener.v3.Listener', 'name'],
  ['envoy.config.route.v3.RouteConfiguration', 'name'],
  ['envoy.config.route.v3.ScopedRouteConfiguration', 'name'],
  ['envoy.config.route.v3.VirtualHost', 'name'],
  ['envoy.extensions.transport_sockets.tls.v3.Secret', 'name'],
  ['envoy.config.core.v3.TypedExtensionConfig', 'name'],
  ['envoy.service.runtime.v3.Runtime', 'name'],
])

/** The full name of the message that an `@type` or a type URL means. */
export function messageOf(typeUrl: unknown): string {
  return String(typeUrl).slice(String(typeUrl).lastIndexOf('/') + 1)
}

/** Its name as proxies ask for it; '' when it has none. */
export function nameOf(resource: JsonObject): string {
  return String(field(resource, NAME_FIELDS.get(messageOf(resource['@type'])) ?? 'name') ?? '')
}

const READ = /\.(json|ya?ml|pb|pb\.gz)$/

/**
 * A file, or all of a folder together: `/config_dump` of a proxy, `resources:` with a list as Envoy reads them from files, or
 * a discovery response as it was on the wire (`.pb`, `.pb.gz`). Throws CompareError.
 */
export function readResourceSet(path: string): ResourceSet {
  const files = filesOf(path)
  if (files.length === 0) throw new CompareError(`--resources ${path}: no .json, .yaml, .pb or .pb.gz in this folder`)
  const sets = files.map(file => readFile(file))
  return {
    from: path,
    resources: sets.flatMap(set => set.resources),
    hasEndpoints: sets.some(set => set.hasEndpoints),
    notes: sets.flatMap(set => set.notes),
  }
}

/** The list of a file that a configuration watches. Throws CompareError. */
export function readWatchedFile(path: string): readonly JsonObject[] {
  return readFile(path).resources
}

function readFile(path: string): Omit<ResourceSet, 'from'> {
  if (/\.pb(\.gz)?$/.test(path)) {
    const bytes = readBytes(path)
    return fromWire(path.endsWith('.gz') ? gunzip(bytes, path) : bytes, path)
  }
  let value: unknown
  try {
    value = parseConfiguration(readBytes(path).toString('utf8'))
  } catch (error) {
    throw error instanceof CompareError ? error : new CompareError(`${path}: ${(error as Error).message}`)
  }
  const dump = readConfigDump(value)
  if (dump !== null) return { ...dump, notes: [] }
  const list = field(value, 'resources')
  if (!Array.isArray(list)) {
    throw new CompareError(`${path}: neither a config_dump (configs: …) nor a list of resources (resources: …)`)
  }
  return {
    resources: list.map((item, i) => checked(unwrapped(item), `${path}, resource ${i + 1}`)),
    hasEndpoints: true,
    notes: [],
  }
}

/** Lists may have resources within envoy.service.discovery.v3.Resource. */
function unwrapped(item: unknown): unknown {
  return isObject(item) && isTyped(item, 'Resource') ? objectField(item, 'resource') : item
}

function checked(item: unknown, where: string): JsonObject {
  if (!isObject(item)) throw new CompareError(`${where}: no resource`)
  const known = [...NAME_FIELDS.keys()].map(type => `type.googleapis.com/${type}`)
  const type = item['@type']
  if (!NAME_FIELDS.has(messageOf(type)))
    throw new CompareError(
      `${where}: "@type" ${JSON.stringify(type) ?? 'is missing'}; use one of\n  ${known.join('\n  ')}`,
    )
  if (nameOf(item) === '') throw new CompareError(`${where}: it has no name`)
  return item
}

/** DiscoveryResponse and DeltaDiscoveryResponse have the same outer fields: what they hold tells them apart. */
function fromWire(bytes: Buffer, path: string): Omit<ResourceSet, 'from'> {
  try {
    const { typeUrl, resources } = decodeResponse(bytes)
    const type = messageOf(typeUrl)
    // A folder of recorded pushes may have what istiod sends to agents.
    if (!NAME_FIELDS.has(type))
      return { resources: [], hasEndpoints: false, notes: [`${path}: proxies do not ask for ${type}: left out`] }
    const all: readonly RawResource[] = resources.every(one => one.typeUrl === typeUrl)
      ? resources
      : decodeDeltaResponse(bytes).resources.flatMap(({ body }) => (body === null ? [] : [body]))
    return {
      resources: all.map(one => ({ '@type': typeUrl, ...toJson(type, decodeMessage(type, one.bytes).message) })),
      hasEndpoints: true,
      notes: [],
    }
  } catch (error) {
    if (error instanceof ConfigError || error instanceof WireError)
      throw new CompareError(`${path}: no discovery response: ${error.message}`)
    throw error
  }
}

function filesOf(path: string): string[] {
  try {
    if (!statSync(path).isDirectory()) return [path]
    return readdirSync(path)
      .filter(name => READ.test(name) && !name.startsWith('.'))
      .sort()
      .map(name => join(path, name))
  } catch (error) {
    throw new CompareError(`--resources: ${(error as Error).message}`)
  }
}

function readBytes(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new CompareError((error as Error).message)
  }
}

function gunzip(bytes: Buffer, path: string): Buffer {
  try {
    return gunzipSync(bytes)
  } catch (error) {
    throw new CompareError(`${path}: ${(error as Error).message}`)
  }
}
