import type { AnyMessage } from '../config/any.ts'
import { type FieldType, hasMessageType, type MessageType, messageType } from '../config/descriptors.ts'

type Fields = Readonly<Record<string, unknown>>

/** google.protobuf.FieldMask from its text form: `a.b,c`. */
export function parseMask(text: string): string[] {
  return text.split(',').filter(path => path !== '')
}

/** The message with only what `paths` name; null when a path does not exist in the type (FieldMaskUtil::IsValidPath, TrimMessage). */
export function trimMessage(type: MessageType, message: Fields, paths: readonly string[]): Fields | null {
  for (const path of paths) if (!isValidPath(type, path)) return null
  const tree = maskTree(paths)
  return tree.size === 0 ? message : trim(type, message, tree)
}

/**
 * As `trimMessage` for an element of a dump, whose resource lies in an Any: paths through that field go on inside it
 * (config_dump_handler.cc, trimResourceMessage).
 */
export function trimResource(type: MessageType, message: Fields, paths: readonly string[]): Fields | null {
  const outer: string[] = []
  const inner: string[] = []
  let anyField = ''
  for (const path of paths) {
    const dot = path.indexOf('.')
    const first = dot < 0 ? path : path.slice(0, dot)
    const field = type.byName.get(first)
    if (field !== undefined && field.wellKnown === 'any' && !field.repeated) {
      anyField = first
      outer.push(first)
      if (dot >= 0) inner.push(path.slice(dot + 1))
    } else outer.push(path)
  }
  let trimmed = message
  const any = anyField === '' ? undefined : (message[anyField] as AnyMessage | undefined)
  if (any?.message !== undefined) {
    const name = any.type_url.slice(any.type_url.lastIndexOf('/') + 1)
    if (hasMessageType(name)) {
      const resource = trimMessage(messageType(name), any.message as Fields, inner)
      if (resource === null) return null
      trimmed = { ...message, [anyField]: { ...any, message: resource } }
    }
  }
  return trimMessage(type, trimmed, outer)
}

/** Every step but the last must be one message: masks do not reach into lists, maps or what lies in an Any. */
function isValidPath(type: MessageType, path: string): boolean {
  let at: MessageType | null = type
  for (const name of path.split('.')) {
    const field: FieldType | undefined = at?.fields.find(f => f.name === name)
    if (field === undefined) return false
    at = field.isMessage && !field.repeated && !field.isMap ? field.message : null
  }
  return true
}

interface Tree extends Map<string, Tree> {}

/** A leaf is an empty map and stands for all below it: `a` covers `a.b`, in whichever order they come. */
function maskTree(paths: readonly string[]): Tree {
  const root: Tree = new Map()
  for (const path of paths) add(root, path.split('.'))
  return root
}

function add(at: Tree, [name, ...rest]: readonly string[]): void {
  if (name === undefined) return
  const known = at.get(name)
  if (known !== undefined && known.size === 0) return
  if (rest.length === 0) {
    at.set(name, new Map())
    return
  }
  const below: Tree = known ?? new Map()
  at.set(name, below)
  add(below, rest)
}

function trim(type: MessageType, message: Fields, tree: Tree): Fields {
  const out: Record<string, unknown> = {}
  for (const field of type.fields) {
    const below = tree.get(field.name)
    const value = message[field.name]
    if (below === undefined || value === undefined) continue
    out[field.name] = below.size === 0 ? value : trim(field.message, value as Fields, below)
  }
  return out
}
