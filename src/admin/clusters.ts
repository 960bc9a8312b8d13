import { compileRegex, regexError } from '../base/regex.ts'
import { printJson } from '../config/json-writer.ts'
import type { Address } from '../io/connection.ts'
import type { RateAverages } from '../upstream/outlier.ts'
import { HostHealth } from '../upstream/upstream.ts'
import { addressJson } from './address-json.ts'
import { type AdminHandler, badRequest, JSON_TYPE, text } from './handler.ts'

export interface ClusterFact {
  readonly name: string
  readonly observabilityName: string
  readonly addedViaApi: boolean
  /** service_name of an EDS cluster; '' when none. */
  readonly edsServiceName: string
  /** Null without outlier detection. Of responses, and of what happened on the way to the hosts. */
  readonly successRates: readonly [RateAverages, RateAverages] | null
  /** Limits by priority (default, high): connections, pending requests, requests, retries. */
  readonly limits: readonly [readonly number[], readonly number[]]
  /** By priority, as configured. */
  readonly hosts: readonly HostFact[]
}

export interface HostFact {
  readonly address: Address
  readonly hostname: string
  /** Bit set over `HostHealth`. */
  readonly flags: number
  readonly weight: number
  readonly region: string
  readonly zone: string
  readonly subZone: string
  readonly priority: number
  readonly canary: boolean
  readonly stats: HostStats
  /** Per cent over the last outlier-detection interval; -1 = unknown. */
  readonly successRate: number
  readonly localOriginSuccessRate: number
}

/** Sums over all workers. */
export interface HostStats {
  readonly cx_active: number
  readonly cx_connect_fail: number
  readonly cx_total: number
  readonly rq_active: number
  readonly rq_error: number
  readonly rq_pending_active: number
  readonly rq_success: number
  readonly rq_timeout: number
  readonly rq_total: number
}

const COUNTERS = ['cx_connect_fail', 'cx_total', 'rq_error', 'rq_success', 'rq_timeout', 'rq_total'] as const
const GAUGES = ['cx_active', 'rq_active', 'rq_pending_active'] as const
/** Both sorts in the order of the text form. */
const ALL_STATS = [
  'cx_active',
  'cx_connect_fail',
  'cx_total',
  'rq_active',
  'rq_error',
  'rq_pending_active',
  'rq_success',
  'rq_timeout',
  'rq_total',
] as const

export function clustersHandler(clusters: () => readonly ClusterFact[]): AdminHandler {
  return {
    path: '/clusters',
    help: 'upstream cluster status',
    parameters: [text('filter', 'Regular expression (Google re2) for filtering clusters by name')],
    mutates: false,
    handle({ query }) {
      const pattern = query.get('filter') ?? ''
      if (pattern !== '' && regexError(pattern) !== null) return badRequest('Invalid re2 regex')
      // A search, not a full match.
      const regex = pattern === '' ? null : compileRegex(`(?s:.*)(?:${pattern})(?s:.*)`)
      const shown = clusters().filter(c => regex === null || regex.fullMatch(c.name))
      if (query.get('format') !== 'json') return { status: 200, body: shown.map(clusterText).join('') }
      const body = shown.length === 0 ? {} : { cluster_statuses: shown.map(clusterJson) }
      return { status: 200, contentType: JSON_TYPE, body: `${printJson(body)}\n` }
    },
  }
}

function clusterText(c: ClusterFact): string {
  const lines = [`observability_name::${c.observabilityName}`]
  if (c.successRates !== null) {
    const [external, local] = c.successRates
    lines.push(
      `outlier::success_rate_average::${sixDigits(external.average)}`,
      `outlier::success_rate_ejection_threshold::${sixDigits(external.threshold)}`,
      `outlier::local_origin_success_rate_average::${sixDigits(local.average)}`,
      `outlier::local_origin_success_rate_ejection_threshold::${sixDigits(local.threshold)}`,
    )
  }
  for (const [name, limits] of [
    ['default', c.limits[0]],
    ['high', c.limits[1]],
  ] as const) {
    const [connections, pending, requests, retries] = limits
    lines.push(
      `${name}_priority::max_connections::${connections}`,
      `${name}_priority::max_pending_requests::${pending}`,
      `${name}_priority::max_requests::${requests}`,
      `${name}_priority::max_retries::${retries}`,
    )
  }
  lines.push(`added_via_api::${c.addedViaApi}`)
  if (c.edsServiceName !== '') lines.push(`eds_service_name::${c.edsServiceName}`)
  for (const host of c.hosts) hostLines(host, lines)
  return lines.map(line => `${c.name}::${line}\n`).join('')
}

/** C's `%g` for numbers of this size. */
function sixDigits(n: number): string {
  return `${Number(n.toPrecision(6))}`
}

function hostLines(h: HostFact, lines: string[]): void {
  const at = h.address.text
  for (const name of ALL_STATS) lines.push(`${at}::${name}::${h.stats[name]}`)
  lines.push(
    `${at}::hostname::${h.hostname}`,
    `${at}::health_flags::${healthFlags(h.flags)}`,
    `${at}::weight::${h.weight}`,
    `${at}::region::${h.region}`,
    `${at}::zone::${h.zone}`,
    `${at}::sub_zone::${h.subZone}`,
    `${at}::canary::${h.canary}`,
    `${at}::priority::${h.priority}`,
    `${at}::success_rate::${h.successRate}`,
    `${at}::local_origin_success_rate::${h.localOriginSuccessRate}`,
  )
}

/** In the order of HostImpl's flags (HEALTH_FLAG_ENUM_VALUES). */
const FLAG_TEXTS: readonly (readonly [number, string])[] = [
  [HostHealth.FailedActive, '/failed_active_hc'],
  [HostHealth.FailedOutlier, '/failed_outlier_check'],
  [HostHealth.FailedEds, '/failed_eds_health'],
  [HostHealth.DegradedActive, '/degraded_active_hc'],
  [HostHealth.DegradedEds, '/degraded_eds_health'],
  [HostHealth.PendingRemoval, '/pending_dynamic_removal'],
  [HostHealth.PendingActive, '/pending_active_hc'],
  [HostHealth.ExcludedImmediate, '/excluded_via_immediate_hc_fail'],
  [HostHealth.ActiveTimeout, '/active_hc_timeout'],
  [HostHealth.EdsDraining, '/eds_status_draining'],
]

export function healthFlags(flags: number): string {
  if (flags === 0) return 'healthy'
  return FLAG_TEXTS.map(([bit, text]) => ((flags & bit) === 0 ? '' : text)).join('')
}

/** envoy.admin.v3.ClusterStatus. */
function clusterJson(c: ClusterFact): object {
  const [external, local] = c.successRates ?? []
  return {
    name: c.name,
    ...(c.addedViaApi ? { added_via_api: true } : {}),
    ...percentOver0('success_rate_ejection_threshold', external?.threshold),
    ...(c.hosts.length === 0 ? {} : { host_statuses: c.hosts.map(hostJson) }),
    ...percentOver0('local_origin_success_rate_ejection_threshold', local?.threshold),
    circuit_breakers: {
      thresholds: [thresholds(c.limits[0]), { priority: 'HIGH', ...thresholds(c.limits[1]) }],
    },
    ...(c.observabilityName === '' ? {} : { observability_name: c.observabilityName }),
    ...(c.edsServiceName === '' ? {} : { eds_service_name: c.edsServiceName }),
  }
}

/** A Percent message: 0 is its default and not written. */
function rateJson(name: string, rate: number): object {
  return rate < 0 ? {} : { [name]: rate === 0 ? {} : { value: rate } }
}

function percentOver0(name: string, value: number | undefined): object {
  return value === undefined || value <= 0 ? {} : { [name]: { value } }
}

function thresholds([connections, pending, requests, retries]: readonly number[]): object {
  return {
    max_connections: connections,
    max_pending_requests: pending,
    max_requests: requests,
    max_retries: retries,
  }
}

/** envoy.admin.v3.HostStatus: 64-bit values as text, zeroes left out. */
function hostJson(h: HostFact): object {
  const value = (name: keyof HostStats): object => (h.stats[name] === 0 ? {} : { value: `${h.stats[name]}` })
  return {
    address: addressJson(h.address),
    stats: [
      ...COUNTERS.map(name => ({ ...value(name), name })),
      ...GAUGES.map(name => ({ type: 'GAUGE', ...value(name), name })),
    ],
    health_status: healthJson(h.flags),
    ...rateJson('success_rate', h.successRate),
    weight: h.weight,
    ...(h.hostname === '' ? {} : { hostname: h.hostname }),
    ...(h.priority === 0 ? {} : { priority: h.priority }),
    ...rateJson('local_origin_success_rate', h.localOriginSuccessRate),
    locality: {
      ...(h.region === '' ? {} : { region: h.region }),
      ...(h.zone === '' ? {} : { zone: h.zone }),
      ...(h.subZone === '' ? {} : { sub_zone: h.subZone }),
    },
  }
}

/** envoy.admin.v3.HostHealthStatus. */
function healthJson(flags: number): object {
  const has = (bit: number): boolean => (flags & bit) !== 0
  return {
    ...(has(HostHealth.FailedActive) ? { failed_active_health_check: true } : {}),
    ...(has(HostHealth.FailedOutlier) ? { failed_outlier_check: true } : {}),
    eds_health_status: edsHealth(flags),
    ...(has(HostHealth.DegradedActive) ? { failed_active_degraded_check: true } : {}),
    ...(has(HostHealth.PendingRemoval) ? { pending_dynamic_removal: true } : {}),
    ...(has(HostHealth.PendingActive) ? { pending_active_hc: true } : {}),
    ...(has(HostHealth.ExcludedImmediate) ? { excluded_via_immediate_hc_fail: true } : {}),
    ...(has(HostHealth.ActiveTimeout) ? { active_hc_timeout: true } : {}),
  }
}

export function edsHealth(flags: number): string {
  if ((flags & HostHealth.FailedEds) !== 0) return 'UNHEALTHY'
  if ((flags & HostHealth.EdsDraining) !== 0) return 'DRAINING'
  return (flags & HostHealth.DegradedEds) !== 0 ? 'DEGRADED' : 'HEALTHY'
}
