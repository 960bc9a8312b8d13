import { printJson } from '../config/json-writer.ts'
import { setKey } from '../config/object-key.ts'
import { type AdminHandler, type AdminRequest, type AdminResponse, JSON_TYPE, OK } from './handler.ts'
import { parseQuery } from './query.ts'

/** Runtime layers of main, as `RuntimeLoader` has them. */
export interface RuntimeFacts {
  readonly layers: readonly { readonly name: string; readonly values: ReadonlyMap<string, string> }[]
  /** False: there is no admin layer to write to. */
  modify(values: readonly (readonly [string, string])[]): boolean
}

const USAGE =
  'usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN\n' +
  '       or send the parameters as form values\n' +
  'use an empty value to remove a previously added override'

export function runtimeHandlers(runtime: () => RuntimeFacts): readonly AdminHandler[] {
  return [
    {
      path: '/runtime',
      help: 'print runtime values',
      mutates: false,
      handle: () => ({ status: 200, contentType: JSON_TYPE, body: `${printJson(shown(runtime()))}\n` }),
    },
    {
      path: '/runtime_modify',
      help:
        'Adds or modifies runtime values as passed in query parameters. To delete a previously added key, use an empty string ' +
        'as the value. Note that deletion only applies to overrides added via this endpoint; values loaded from disk can be ' +
        'modified via override but not deleted. E.g. ?key1=value1&key2=value2...',
      mutates: true,
      handle: request => modify(runtime(), request),
    },
  ]
}

function shown({ layers }: RuntimeFacts): object {
  const keys = new Set<string>()
  for (const layer of layers) for (const key of layer.values.keys()) keys.add(key)
  const entries: Record<string, unknown> = {}
  for (const key of [...keys].sort()) {
    const values = layers.map(layer => valueText(layer.values.get(key) ?? ''))
    // The last layer that has it wins.
    const final = values.findLast(value => value !== '') ?? ''
    setKey(entries, key, { layer_values: values, final_value: final })
  }
  return { layers: layers.map(layer => layer.name), entries }
}

/** A FractionalPercent is kept as JSON; Envoy shows the debug text of the Struct it came in. */
function valueText(value: string): string {
  if (!value.startsWith('{')) return value
  let struct: Record<string, unknown>
  try {
    struct = JSON.parse(value) as Record<string, unknown>
  } catch {
    return value
  }
  let out = 'goo.gle/debugonly \n'
  for (const key of Object.keys(struct).sort()) {
    const field = struct[key]
    const shown =
      typeof field === 'number' ? `number_value: ${field}` : `string_value: ${JSON.stringify(String(field))}`
    out += `fields {\n  key: ${JSON.stringify(key)}\n  value {\n    ${shown}\n  }\n}\n`
  }
  return out
}

function modify(runtime: RuntimeFacts, request: AdminRequest): AdminResponse {
  let values = request.query
  const isForm = request.header('content-type') === 'application/x-www-form-urlencoded'
  if (values.size === 0 && isForm) values = parseQuery(request.body)
  if (values.size === 0) return { status: 400, body: USAGE }
  return runtime.modify([...values]) ? OK : { status: 503, body: 'No admin layer specified' }
}
