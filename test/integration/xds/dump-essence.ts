/**
 * What /config_dump says about xDS, in short: names, versions and what was refused. Times differ from run to run and are left out;
 * texts of errors are compared where requests are.
 */
export interface DumpEssence {
  /** Version info of the sections. */
  readonly versions: Readonly<Record<string, string>>
  /** `section name` → version, `(refused)` appended when there is an error state. */
  readonly resources: Readonly<Record<string, string>>
}

interface Entry {
  version_info?: string
  name?: string
  cluster?: { name?: string }
  route_config?: { name?: string }
  secret?: Record<string, unknown>
  ecds_filter?: { name?: string; typed_config?: { '@type': string } }
  endpoint_config?: { cluster_name?: string }
  active_state?: { version_info?: string }
  warming_state?: { version_info?: string }
  draining_state?: { version_info?: string }
  error_state?: object
}

const LISTS = [
  'dynamic_active_clusters',
  'dynamic_warming_clusters',
  'dynamic_listeners',
  'dynamic_route_configs',
  'dynamic_active_secrets',
  'dynamic_warming_secrets',
  'ecds_filters',
]

export async function dumpOf(admin: number): Promise<DumpEssence> {
  const body = (await (await fetch(`http://127.0.0.1:${admin}/config_dump`)).json()) as {
    configs: (Record<string, Entry[]> & { '@type': string; version_info?: string })[]
  }
  const versions: Record<string, string> = {}
  const resources: Record<string, string> = {}
  for (const section of body.configs) {
    if (section.version_info !== undefined) {
      versions[section['@type'].replace(/^.*\./, '')] = String(section.version_info)
    }
    for (const list of LISTS) {
      for (const entry of section[list] ?? []) {
        const name = entry.cluster?.name ?? entry.route_config?.name ?? entry.ecds_filter?.name ?? entry.name ?? ''
        resources[`${list} ${name}`] = versionsOf(entry)
      }
    }
  }
  return { versions, resources: Object.fromEntries(Object.entries(resources).sort(([a], [b]) => (a < b ? -1 : 1))) }
}

/** Fields of a secret, with what is hidden of it. */
function secretOf(message: unknown): string {
  return JSON.stringify(message, (key, value: unknown) => {
    if (key !== 'inline_bytes' && key !== 'inline_string') return value
    const text = Buffer.from(String(value), 'base64').toString()
    return text === '[redacted]' || value === '[redacted]' ? `redacted ${key}` : 'shown'
  }).replaceAll(/"filename":"[^"]*"/g, '"filename"')
}

function versionsOf(entry: Entry): string {
  const parts: string[] = []
  if (entry.version_info !== undefined) parts.push(entry.version_info)
  for (const state of ['active', 'warming', 'draining'] as const) {
    const found = entry[`${state}_state`]
    // How long an old version drains is a matter of time, not of xDS.
    if (found !== undefined && state !== 'draining') parts.push(`${state} ${found.version_info ?? ''}`)
  }
  if (entry.ecds_filter !== undefined) parts.push(JSON.stringify(entry.ecds_filter))
  if (entry.secret !== undefined) parts.push(secretOf(entry.secret))
  if (entry.error_state !== undefined) parts.push('(refused)')
  return parts.join(' ')
}

const INTERESTING =
  /^(.*ssl_context_update_by_sds|.*secrets_not_ready|cluster_manager\.cds\.|listener_manager\.lds\.|control_plane\.|http\.in\.rds\.|sds\.|cluster\.(a|b|c)\.(update|version|init_fetch|assignment)|.*extension_config_discovery\.)/

/** What is counted about xDS, but times. */
export async function statsOf(admin: number): Promise<Record<string, string>> {
  const body = await (await fetch(`http://127.0.0.1:${admin}/stats`)).text()
  const out: Record<string, string> = {}
  for (const line of body.split('\n')) {
    const [name, value] = line.split(': ')
    if (name === undefined || value === undefined || !INTERESTING.test(name)) continue
    if (!/update_time|duration|reload_time/.test(name)) out[name] = value
  }
  return out
}
