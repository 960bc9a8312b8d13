import { readConfigDump } from './config-dump.ts'
import { findSources, wantedEndpoints } from './config-source.ts'
import {
  field,
  isObject,
  isTyped,
  type JsonObject,
  listField,
  objectField,
  parseConfiguration,
  setField,
} from './json.ts'
import { Notes } from './notes.ts'
import { CompareError } from './options.ts'
import { messageOf, type ResourceSet, readWatchedFile } from './resources.ts'
import { type Identity, withSecrets } from './stand-in-secrets.ts'

/** A bootstrap and everything that comes to it later, as the user gave them. */
export interface Configuration {
  readonly bootstrap: JsonObject
  /** What the control plane has, one state after the other; requests go out when the last one is there. */
  readonly pushes: readonly (readonly JsonObject[])[]
  /** Static clusters that lead to the control plane. */
  readonly controlPlane: ReadonlySet<string>
  /** What names of statistics begin with that are not the proxies' own: HTTP/2 of their gRPC libraries. */
  readonly foreignStats: readonly string[]
  /** What the files hold that the configuration watches, by the path that it names. */
  readonly files: ReadonlyMap<string, readonly JsonObject[]>
  /** What clients show to listeners, where compare itself made what these verify with. */
  readonly identity: Identity | null
  readonly notes: readonly string[]
}

const ENDPOINTS = 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment'

/**
 * `text`: a bootstrap, or the config_dump of a proxy, which has its bootstrap and what came to it. `without`: names or types
 * of filters to leave out. Throws CompareError when it is nothing that can be run twice on one machine.
 */
export function readConfiguration(
  text: string,
  name: string,
  sets: readonly ResourceSet[] = [],
  without: readonly string[] = [],
): Configuration {
  const read = readBootstrap(text, name)
  const bootstrap = prune(read.bootstrap, without)
  const own = read.set === null ? [] : [read.set]
  const given = (sets.length > 0 ? sets : own).map(set => ({ ...set, resources: prune(set.resources, without) }))
  const everything = [bootstrap, ...given.flatMap(set => set.resources)]
  const { controlPlane, files } = readSources(everything, name, without)
  const found = [...files.values()].flat()
  const notes = new Notes(given.flatMap(set => set.notes))
  const standIns = given.map(set => withStandIns(set, [...staticClusters(bootstrap), ...found], notes))
  const { pushes, identity } = withSecrets(controlPlane.size === 0 ? [] : standIns, [bootstrap, ...found], notes)
  const foreignStats = checkControlPlane(bootstrap, controlPlane, given, name)
  // A dump has what came from files as well, which are read themselves.
  checkAskedFor(controlPlane, sets, name)
  addNode(bootstrap, pushes.length > 0 || files.size > 0, notes)
  const configuration = { bootstrap, pushes, controlPlane, foreignStats, files, identity, notes: notes.list() }
  const later = [...found, ...pushes.flat()]
  const fixed = listField(objectField(bootstrap, 'static_resources'), 'listeners')
  if (fixed.length === 0 && !later.some(one => isTyped(one, 'Listener')))
    throw new CompareError(
      `${name}: no listener in static_resources, --resources or watched files: nothing to send requests to`,
    )
  return configuration
}

function readBootstrap(text: string, name: string): { bootstrap: JsonObject; set: ResourceSet | null } {
  let root: unknown
  try {
    root = parseConfiguration(text)
  } catch (error) {
    throw new CompareError(`${name}: ${(error as Error).message}`)
  }
  if (!isObject(root)) throw new CompareError(`${name}: no configuration in it`)
  const dump = readConfigDump(root)
  if (dump === null) return { bootstrap: root, set: null }
  if (dump.bootstrap === null) throw new CompareError(`${name}: a config_dump without the bootstrap; ask for all of it`)
  return { bootstrap: dump.bootstrap, set: { from: name, notes: [], ...dump } }
}

/** All that the values name, and what is named by the files: clusters of one may have their endpoints in another. */
function readSources(
  values: readonly unknown[],
  name: string,
  without: readonly string[],
): Pick<Configuration, 'controlPlane' | 'files'> {
  const controlPlane = new Set<string>()
  const files = new Map<string, readonly JsonObject[]>()
  const read = (within: readonly unknown[], from: string): void => {
    const sources = findSources(within, from)
    for (const cluster of sources.controlPlane) controlPlane.add(cluster)
    for (const path of sources.files) {
      if (files.has(path)) continue
      const list = prune(readWatchedFile(path), without)
      files.set(path, list)
      read(list, path)
    }
  }
  read(values, name)
  return { controlPlane, files }
}

function staticClusters(bootstrap: JsonObject): readonly JsonObject[] {
  return listField(objectField(bootstrap, 'static_resources'), 'clusters')
}

function checkControlPlane(
  bootstrap: JsonObject,
  wanted: ReadonlySet<string>,
  given: readonly ResourceSet[],
  name: string,
): string[] {
  const clusters = staticClusters(bootstrap)
  const foreign: string[] = []
  for (const cluster of wanted) {
    const found = clusters.find(one => field(one, 'name') === cluster)
    if (found === undefined)
      throw new CompareError(
        `${name}: resources come from cluster ${cluster}, which static_resources.clusters does not have`,
      )
    if (objectField(found, 'load_assignment') === undefined)
      throw new CompareError(
        `${name}: cluster ${cluster}, from which resources come, has no load_assignment to replace`,
      )
    foreign.push(`cluster.${field(found, 'alt_stat_name') ?? cluster}.http2.`)
  }
  const names = [...wanted].join(', ')
  if (wanted.size > 0 && given.length === 0) {
    throw new CompareError(
      `${name}: resources come by xDS from ${names}. Give them with --resources FILE: what a running proxy prints at /config_dump?include_eds, or a file with resources: and a list, each with its "@type"`,
    )
  }
  return foreign
}

function checkAskedFor(wanted: ReadonlySet<string>, sets: readonly ResourceSet[], name: string): void {
  const useless = sets.find(set => set.resources.length > 0)
  if (wanted.size > 0 || useless === undefined) return
  throw new CompareError(
    `${useless.from}: ${name} asks no control plane for resources; write dynamic_resources with ads_config`,
  )
}

/** Endpoints that a dump does not tell, as it was asked for without them. `fixed`: clusters that come otherwise. */
function withStandIns(set: ResourceSet, fixed: readonly JsonObject[], notes: Notes): readonly JsonObject[] {
  if (set.hasEndpoints) return set.resources
  const wanted = new Set(wantedEndpoints([...fixed, ...set.resources.filter(one => isTyped(one, 'Cluster'))]))
  if (wanted.size > 0)
    notes.add(
      `${set.from} has no endpoints (ask for /config_dump?include_eds): one stand-in for each of ${wanted.size} clusters`,
    )
  const address = { socket_address: { address: '127.0.0.1', port_value: 1 } }
  return [
    ...set.resources,
    ...[...wanted].map(name => ({
      '@type': ENDPOINTS,
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }],
    })),
  ]
}

/** A proxy that asks for resources has to say who it is. */
function addNode(bootstrap: JsonObject, needed: boolean, notes: Notes): void {
  const node = objectField(bootstrap, 'node') ?? {}
  const missing = ['id', 'cluster'].filter(part => field(node, part) === undefined)
  if (!needed || missing.length === 0) return
  for (const part of missing) setField(node, part, 'compare')
  setField(bootstrap, 'node', node)
  notes.add(`node.${missing.join(' and node.')} made up`)
}

/** Copies without the elements of lists (filters of all kinds, access loggers) that have one of the names or types. */
function prune<T>(value: T, without: readonly string[]): T {
  if (without.length === 0) return value
  const isOne = (element: unknown): boolean =>
    isObject(element) &&
    ['typed_config', 'config_discovery'].some(key => objectField(element, key) !== undefined) &&
    without.some(name => element['name'] === name || messageNameOf(element) === name)
  const copy = (inner: unknown): unknown => {
    if (Array.isArray(inner)) return inner.filter(element => !isOne(element)).map(copy)
    if (!isObject(inner)) return inner
    return Object.fromEntries(Object.entries(inner).map(([key, each]) => [key, copy(each)]))
  }
  return copy(value) as T
}

/** Istio wraps configurations of its filters into TypedStruct. */
function messageNameOf(element: JsonObject): string {
  const config = objectField(element, 'typed_config')
  const inner = config !== undefined && isTyped(config, 'TypedStruct') ? field(config, 'type_url') : undefined
  return messageOf(inner ?? config?.['@type'] ?? '')
}
