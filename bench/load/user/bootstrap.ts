import { parse } from 'yaml'
import { OptionError } from '../options.ts'

/** Ports of the first listener and of the admin interface; null where the file has none. Throws OptionError for broken YAML. */
export function portsOf(text: string, name: string): { readonly listen: number | null; readonly admin: number | null } {
  let root: unknown
  try {
    root = parse(text, { version: '1.1', merge: true })
  } catch (error) {
    throw new OptionError(`${name}: ${(error as Error).message}`)
  }
  const listeners = member(member(root, 'static_resources', 'staticResources'), 'listeners')
  const first = Array.isArray(listeners) ? listeners[0] : undefined
  return { listen: portOf(member(first, 'address')), admin: portOf(member(member(root, 'admin'), 'address')) }
}

function portOf(address: unknown): number | null {
  const port = member(member(address, 'socket_address', 'socketAddress'), 'port_value', 'portValue')
  return typeof port === 'number' && port > 0 ? port : null
}

/** protobuf's JSON has two names for a field. */
function member(value: unknown, name: string, other = name): unknown {
  if (typeof value !== 'object' || value === null) return undefined
  const object = value as Record<string, unknown>
  return object[name] ?? object[other]
}
