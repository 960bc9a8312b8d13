import { endpointsName, fileSourceOf } from './config-source.ts'
import type { Configuration } from './configuration.ts'
import {
  field,
  isTyped,
  type JsonObject,
  listField,
  objectField,
  objectsWithin,
  removeField,
  setField,
} from './json.ts'
import { Notes } from './notes.ts'
import { loopback, type Places, Sites } from './places.ts'
import { protocolOf, rewriteAssignment, rewriteCluster } from './rewrite-cluster.ts'
import { moveLogs, type RewrittenListener, rewriteListener } from './rewrite-listener.ts'

export interface Rewritten {
  /** The bootstrap as JSON, which every Envoy reads. */
  readonly text: string
  /** What the control plane has, as in the configuration. */
  readonly pushes: readonly (readonly JsonObject[])[]
  /** To be written before the proxy starts. */
  readonly files: readonly { readonly path: string; readonly text: string }[]
  /** Those that take requests once everything was pushed. */
  readonly listeners: readonly RewrittenListener[]
  readonly admin: number
  /** What is not as the files say, for the reader. */
  readonly notes: readonly string[]
}

/** The configuration with ports, endpoints and files of its own, and one more access log. What is given stays as it is. */
export function rewrite(configuration: Configuration, places: Places): Rewritten {
  const { bootstrap, pushes, watched } = structuredClone({
    bootstrap: configuration.bootstrap,
    pushes: configuration.pushes as JsonObject[][],
    watched: [...configuration.files] as [string, JsonObject[]][],
  })
  const sites = new Sites(places)
  const notes = new Notes(configuration.notes)
  const admin = sites.port('admin')
  const adminBlock = objectField(bootstrap, 'admin') ?? {}
  setField(bootstrap, 'admin', adminBlock)
  setField(adminBlock, 'address', loopback(admin))
  const found = watched.flatMap(([, list]) => list)
  const everything = [bootstrap, ...found, ...pushes.flat()]
  moveLogs(everything, sites.folder)
  moveWatchedFiles(everything, [...configuration.files.keys()], sites.folder)
  const resources = objectField(bootstrap, 'static_resources')
  const listen = (all: readonly JsonObject[]): RewrittenListener[] =>
    all.flatMap((listener, i) => rewriteListener(listener, i, sites, notes))
  const early = listen([...listField(resources, 'listeners'), ...found.filter(isListener)])
  const late = pushes.map(push => listen(push.filter(isListener)))
  const discovered = [...found, ...pushes.flat()]
  const clusters = [...listField(resources, 'clusters'), ...discovered.filter(one => isTyped(one, 'Cluster'))]
  const rerouted = new Set<string>()
  const protocols = new Map(clusters.map(cluster => [endpointsName(cluster), protocolOf(cluster)]))
  for (const assignment of discovered.filter(one => isTyped(one, 'ClusterLoadAssignment'))) {
    const name = String(field(assignment, 'cluster_name'))
    const moved = rewriteAssignment(assignment, name, protocols.get(name) ?? 'http1', sites, notes)
    if (moved) rerouted.add(name)
  }
  const facts = { controlPlane: configuration.controlPlane, rerouted }
  for (const cluster of clusters) rewriteCluster(cluster, facts, sites, notes)
  return {
    text: textOf(bootstrap),
    pushes,
    files: watched.map(([, list], i) => ({ path: watchedFile(sites.folder, i), text: textOf({ resources: list }) })),
    listeners: [...early, ...(late.at(-1) ?? [])],
    admin,
    notes: notes.list(),
  }
}

function moveWatchedFiles(within: readonly JsonObject[], paths: readonly string[], folder: string): void {
  for (const value of objectsWithin(within)) {
    const source = fileSourceOf(value)
    if (source === undefined) continue
    source['path'] = watchedFile(folder, paths.indexOf(String(source['path'])))
    // It watches for what replaces the original.
    removeField(source, 'watched_directory')
  }
}

function watchedFile(folder: string, index: number): string {
  return `${folder}/watched-${index}.json`
}

function isListener(value: JsonObject): boolean {
  return isTyped(value, 'Listener')
}

function textOf(value: JsonObject): string {
  return `${JSON.stringify(value, null, 1)}\n`
}
