import { field, isObject, type JsonObject, listField, objectField, objectsWithin } from './json.ts'
import { CompareError } from './options.ts'

/** Where resources of a configuration come from, apart from the configuration itself. */
export interface Sources {
  /** Static clusters that lead to the control plane. */
  readonly controlPlane: ReadonlySet<string>
  /** Files with resources, as the configuration names them. */
  readonly files: readonly string[]
}

/** `path_config_source` of a configuration source; of the old form, where `path` stands beside the version, the source itself. */
export function fileSourceOf(value: JsonObject): JsonObject | undefined {
  const source = objectField(value, 'path_config_source')
  if (source !== undefined) return source
  const old = typeof value['path'] === 'string' && field(value, 'resource_api_version') !== undefined
  return old && value['@type'] === undefined ? value : undefined
}

/**
 * Every source that the values name. Throws CompareError for those that no control plane of gRPC and no file can stand in
 * for, with what to write instead.
 */
export function findSources(values: readonly unknown[], name: string): Sources {
  const controlPlane = new Set<string>()
  const files = new Set<string>()
  for (const value of objectsWithin(values)) {
    const file = fileSourceOf(value)
    if (file !== undefined) files.add(String(file['path']))
    for (const key of ['api_config_source', 'ads_config']) {
      const api = objectField(value, key)
      if (api !== undefined) for (const cluster of clustersOf(api, key, name)) controlPlane.add(cluster)
    }
    for (const key of ['lds_resources_locator', 'cds_resources_locator']) {
      if (field(value, key) !== undefined)
        throw new CompareError(`${name}: ${key}: collections by xdstp:// are not served; name a configuration source`)
    }
  }
  return { controlPlane, files: [...files] }
}

function clustersOf(api: JsonObject, key: string, name: string): string[] {
  const type = String(field(api, 'api_type') ?? '')
  if (!/^(AGGREGATED_)?(DELTA_)?GRPC$/.test(type)) {
    throw new CompareError(
      `${name}: ${key} with api_type ${type === '' ? 'not set' : type} is not served; write GRPC or DELTA_GRPC`,
    )
  }
  return listField(api, 'grpc_services').map(service => {
    const cluster = field(objectField(service, 'envoy_grpc'), 'cluster_name')
    if (typeof cluster === 'string') return cluster
    throw new CompareError(
      `${name}: ${key} has a grpc_service without envoy_grpc.cluster_name: write envoy_grpc and a static cluster instead of google_grpc`,
    )
  })
}

/** A name that a configuration waits for. */
export interface Wanted {
  readonly name: string
  /** Field that wants it: `tls_certificate_sds_secret_configs`, `eds_cluster_config` … */
  readonly by: string
}

const SECRET_FIELDS = [
  'tls_certificate_sds_secret_configs',
  'validation_context_sds_secret_config',
  'session_ticket_keys_sds_secret_config',
]

/** Secrets of TLS that come over gRPC. */
export function wantedSecrets(values: readonly unknown[]): Wanted[] {
  const found: Wanted[] = []
  for (const value of objectsWithin(values)) {
    for (const by of SECRET_FIELDS) {
      const one = field(value, by)
      for (const config of Array.isArray(one) ? one : [one]) {
        const source = objectField(config, 'sds_config')
        const name = field(config, 'name')
        if (isObject(source) && fileSourceOf(source) === undefined && typeof name === 'string') found.push({ name, by })
      }
    }
  }
  return found
}

/** Names under which clusters ask for their endpoints over gRPC. */
export function wantedEndpoints(clusters: readonly JsonObject[]): string[] {
  return clusters.flatMap(cluster => {
    const eds = objectField(cluster, 'eds_cluster_config')
    const source = objectField(eds, 'eds_config')
    if (field(cluster, 'type') !== 'EDS' || source === undefined || fileSourceOf(source) !== undefined) return []
    return [endpointsName(cluster)]
  })
}

/** `service_name`, or the cluster's own. */
export function endpointsName(cluster: JsonObject): string {
  const service = field(objectField(cluster, 'eds_cluster_config'), 'service_name')
  return String((typeof service === 'string' && service !== '' ? service : field(cluster, 'name')) ?? '')
}
