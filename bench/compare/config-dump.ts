import { field, isObject, isTyped, type JsonObject, listField, objectField } from './json.ts'

/** What a `/config_dump` of a proxy says. */
export interface ConfigDump {
  /** Null: it was asked for something else. */
  readonly bootstrap: JsonObject | null
  /** What came by discovery, each with its `@type`. */
  readonly resources: readonly JsonObject[]
  /** Whether it was asked for with `include_eds`. */
  readonly hasEndpoints: boolean
}

/** Section, list, where the resource is in an element: the states of one resource in the order in which they count. */
const SECTIONS: readonly (readonly [section: string, list: string, within: readonly string[]])[] = [
  ['ClustersConfigDump', 'dynamic_active_clusters', ['cluster']],
  ['ClustersConfigDump', 'dynamic_warming_clusters', ['cluster']],
  ['ListenersConfigDump', 'dynamic_listeners', ['active_state.listener', 'warming_state.listener']],
  ['RoutesConfigDump', 'dynamic_route_configs', ['route_config']],
  ['EndpointsConfigDump', 'dynamic_endpoint_configs', ['endpoint_config']],
  ['SecretsConfigDump', 'dynamic_active_secrets', ['secret']],
  ['SecretsConfigDump', 'dynamic_warming_secrets', ['secret']],
  ['EcdsConfigDump', 'ecds_filters', ['ecds_filter']],
  ['ScopedRoutesConfigDump', 'dynamic_scoped_route_configs', ['scoped_route_configs']],
]

/** Null when the value is no dump. Sections that are not read hold nothing that is pushed. */
export function readConfigDump(value: unknown): ConfigDump | null {
  if (!isObject(value) || !Array.isArray(value['configs'])) return null
  const sections = value['configs'].filter(isObject)
  const resources: JsonObject[] = []
  const seen = new Set<string>()
  for (const [section, list, within] of SECTIONS) {
    for (const element of sections.filter(one => isTyped(one, section)).flatMap(one => listField(one, list))) {
      const first = within.map(path => valuesAt(element, path)).find(values => values.length > 0)
      for (const found of first ?? []) {
        // What is replaced and warms is in two lists, or under two states.
        const key = `${found['@type']} ${found['name'] ?? found['cluster_name']}`
        if (seen.has(key) || isPlaceholder(section, found)) continue
        seen.add(key)
        resources.push(section === 'EndpointsConfigDump' ? withoutZeroes(found) : found)
      }
    }
  }
  const bootstrap = sections.find(one => isTyped(one, 'BootstrapConfigDump'))
  return {
    bootstrap: objectField(bootstrap, 'bootstrap') ?? null,
    resources,
    hasEndpoints: sections.some(one => isTyped(one, 'EndpointsConfigDump')),
  }
}

/** A secret that has not come yet stands in the dump with its name only. */
function isPlaceholder(section: string, found: JsonObject): boolean {
  return section === 'SecretsConfigDump' && Object.keys(found).every(key => key === '@type' || key === 'name')
}

/** Envoy prints the weight of a locality that has none as 0, and takes no such weight. */
function withoutZeroes(assignment: JsonObject): JsonObject {
  const endpoints = listField(assignment, 'endpoints').map(locality => {
    const { load_balancing_weight: weight, ...rest } = locality
    return weight === 0 ? rest : locality
  })
  return { ...assignment, endpoints }
}

/** Scoped routes have a list where the others have one. */
function valuesAt(from: JsonObject, path: string): JsonObject[] {
  const value = path.split('.').reduce<unknown>((inner, name) => field(inner, name), from)
  return (Array.isArray(value) ? value : [value]).filter(isObject)
}
