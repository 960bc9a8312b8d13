import { createHash } from 'node:crypto'
import { type Dirent, readdirSync, readFileSync } from 'node:fs'
import { basename, join, relative } from 'node:path'
import { type Document, isMap, isNode, isSeq, LineCounter, parseDocument } from 'yaml'
import { ConfigError } from '../base/errors.ts'
import { encodeMessage } from '../config/binary.ts'
import { hasMessageType } from '../config/descriptors.ts'
import { FieldPath } from '../config/field-path.ts'
import { readJson } from '../config/json-reader.ts'

export interface Resource {
  readonly typeUrl: string
  readonly name: string
  /** The encoded message. */
  readonly value: Uint8Array
}

/** What every node is to get, read from one state of the folder. */
export interface Snapshot {
  readonly shared: readonly Resource[]
  /** By node name: the folder the file stood in. */
  readonly perNode: ReadonlyMap<string, readonly Resource[]>
}

/** A file of the folder is wrong. `message` begins with `file:line:column`. */
export class ResourceError extends Error {
  override readonly name = 'ResourceError'
}

const TYPES: Readonly<Record<string, { readonly type: string; readonly nameField: string }>> = {
  'type.googleapis.com/envoy.config.cluster.v3.Cluster': { type: 'envoy.config.cluster.v3.Cluster', nameField: 'name' },
  'type.googleapis.com/envoy.config.listener.v3.Listener': {
    type: 'envoy.config.listener.v3.Listener',
    nameField: 'name',
  },
  'type.googleapis.com/envoy.config.route.v3.RouteConfiguration': {
    type: 'envoy.config.route.v3.RouteConfiguration',
    nameField: 'name',
  },
  'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment': {
    type: 'envoy.config.endpoint.v3.ClusterLoadAssignment',
    nameField: 'cluster_name',
  },
}

/**
 * Reads `*.yaml` of the folder (for every node) and of its subfolders (for the node of that name). Each file has
 * Envoy's form for configuration from files: `resources:` and a list, every item with its `@type`.
 * All or nothing: throws ResourceError for the first mistake, so that the caller keeps the last good snapshot.
 */
export function readResources(folder: string): Snapshot {
  const shared: Resource[] = []
  const perNode = new Map<string, Resource[]>()
  for (const entry of list(folder)) {
    if (entry.isDirectory()) {
      const resources: Resource[] = []
      for (const file of list(join(folder, entry.name))) {
        if (isResourceFile(file)) resources.push(...readFile(folder, join(folder, entry.name, file.name)))
      }
      perNode.set(entry.name, resources)
    } else if (isResourceFile(entry)) {
      shared.push(...readFile(folder, join(folder, entry.name)))
    }
  }
  refuseDuplicates('every node', shared)
  for (const [node, own] of perNode) refuseDuplicates(node, [...shared, ...own])
  return { shared, perNode }
}

/** Of one node and type, by name. */
export function resourcesOf(snapshot: Snapshot, node: string, typeUrl: string): ReadonlyMap<string, Uint8Array> {
  const result = new Map<string, Uint8Array>()
  for (const resource of [...snapshot.shared, ...(snapshot.perNode.get(node) ?? [])]) {
    if (resource.typeUrl === typeUrl) result.set(resource.name, resource.value)
  }
  return result
}

/** Short, and equal exactly when the contents are. */
export function versionOf(resources: ReadonlyMap<string, Uint8Array>): string {
  const hash = createHash('sha256')
  for (const name of [...resources.keys()].sort()) {
    hash.update(`${name.length}:${name}`).update(resources.get(name) as Uint8Array)
  }
  return hash.digest('hex').slice(0, 8)
}

function list(folder: string): Dirent[] {
  return readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))
}

function isResourceFile(entry: Dirent): boolean {
  // Editors leave `.name.swp` and `name~` beside what they write.
  return entry.isFile() && /^[^.].*\.(ya?ml|json)$/.test(entry.name)
}

function readFile(root: string, path: string): Resource[] {
  const label = join(basename(root), relative(root, path))
  const lines = new LineCounter()
  const document = parseDocument(readFileSync(path, 'utf8'), { lineCounter: lines, version: '1.1', merge: true })
  const fail = (message: string, node?: unknown, offset?: number): never => {
    const at = offset ?? (isNode(node) ? (node.range?.[0] ?? 0) : 0)
    const { line, col } = lines.linePos(at)
    throw new ResourceError(`${label}:${line}:${col}: ${message}`)
  }
  const syntax = document.errors[0]
  if (syntax !== undefined) fail(syntax.message.split('\n')[0] as string, undefined, syntax.pos[0])
  if (document.contents === null) return []
  const items = isMap(document.contents) ? document.get('resources', true) : undefined
  if (!isSeq(items))
    return fail('expected `resources:` and a list of resources, each with its "@type"', document.contents)
  return items.items.map((item, index) => {
    const json = document.getIn(['resources', index]) as { toJSON(): Record<string, unknown> } | undefined
    if (!isMap(item) || json === undefined) return fail('expected a resource with "@type"', item)
    const value = json.toJSON()
    const typeUrl = value['@type']
    const known = TYPES[String(typeUrl)]
    if (known === undefined) {
      const known = Object.keys(TYPES).join('\n  ')
      return fail(`"@type": ${JSON.stringify(typeUrl) ?? 'is missing'} is not a resource; use one of\n  ${known}`, item)
    }
    return encode(known, String(typeUrl), value, (message, at) => fail(message, locate(document, index, at)))
  })
}

function encode(
  known: { readonly type: string; readonly nameField: string },
  typeUrl: string,
  value: Record<string, unknown>,
  fail: (message: string, at: FieldPath | undefined) => never,
): Resource {
  const { '@type': _, ...fields } = value
  const name = fields[known.nameField]
  if (typeof name !== 'string' || name === '') fail(`${known.nameField} is missing`, undefined)
  if (!hasMessageType(known.type)) fail(`message type ${known.type} is not in the descriptors`, undefined)
  try {
    const { message, unknownFields } = readJson(known.type, fields, FieldPath.root())
    const unknown = unknownFields[0]
    if (unknown !== undefined) {
      // Envoy only warns about unknown fields of dynamic resources. Here somebody is learning: say it at once.
      const hint = unknown.suggestion === null ? '' : `; did you mean '${unknown.suggestion}'?`
      const what = unknown.isEnumValue ? 'value' : 'field'
      fail(`no such ${what}: '${unknown.name}' in ${unknown.typeName}${hint}`, unknown.at)
    }
    return { typeUrl, name: name as string, value: encodeMessage(known.type, message) }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return fail(error.envoyText, error.at instanceof FieldPath ? error.at : undefined)
  }
}

/** The YAML node of a path, or of the nearest ancestor that exists. */
function locate(document: Document, index: number, at: FieldPath | undefined): unknown {
  let node = document.getIn(['resources', index], true)
  const path: (string | number)[] = ['resources', index]
  for (const step of at?.steps() ?? []) {
    if (step.kind === 'any') continue
    path.push(step.step)
    const key = keyNode(document.getIn(path.slice(0, -1), true), step.step)
    const next = document.getIn(path, true)
    if (next === undefined && key === undefined) break
    node = key ?? next
  }
  return node
}

function keyNode(map: unknown, key: string | number): unknown {
  if (!isMap(map)) return undefined
  return map.items.find(pair => isNode(pair.key) && String(pair.key) === String(key))?.key
}

function refuseDuplicates(node: string, resources: readonly Resource[]): void {
  const seen = new Set<string>()
  for (const { typeUrl, name } of resources) {
    const key = `${typeUrl}/${name}`
    if (seen.has(key)) throw new ResourceError(`${node}: ${typeUrl.split('.').at(-1)} "${name}" is defined twice`)
    seen.add(key)
  }
}
