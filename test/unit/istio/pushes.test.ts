import t from 'tap'
import { ConfigError } from '../../../src/base/errors.ts'
import { decodeMessage } from '../../../src/config/binary.ts'
import { parseCluster } from '../../../src/config/cluster.ts'
import { parseAssignment } from '../../../src/config/endpoint.ts'
import { FieldPath } from '../../../src/config/field-path.ts'
import { parseRouteConfiguration } from '../../../src/config/route.ts'
import { registerExtensions } from '../../../src/extensions.ts'
import { parseListener } from '../../../src/listener/parse-listener.ts'
import { clusterParser } from '../../../src/server/cluster-parser.ts'
import { PUSHES, type PushType, readPush } from '../../harness/istio-pushes.ts'

registerExtensions()

/** What later work brings: taken out of the listeners, so that everything else of them is held to being accepted. */
const NOT_YET = [
  'envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig',
  'envoy.extensions.filters.http.ext_authz.v3.ExtAuthz',
  'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit',
  'envoy.extensions.filters.http.lua.v3.Lua',
]

/** Push, type and a name of its resources → why they are refused. */
const REFUSED: readonly (readonly [place: RegExp, reason: RegExp])[] = [
  [/^default-sleep-mode-TPROXY LDS virtualInbound$/, /envoy\.filters\.listener\.original_src/],
  [/^ambient-httpbin-hbone CDS connect_originate$/, /original_dst_lb_config is not supported/],
  [/^ambient-httpbin-hbone CDS /, /internal_upstream/],
  [/^ambient-httpbin-hbone EDS /, /envoy_internal_address: internal listeners are not supported/],
  [/^ambient-httpbin-hbone LDS connect_terminate$/, /shared_with_upstream/],
  [/^ambient-httpbin-hbone LDS (main_internal|connect_originate)$/, /internal_listener/],
]

type Json = Record<string, unknown>

/** The message without elements of lists that stand for what is not there yet. */
function without(value: unknown): unknown {
  if (Array.isArray(value)) return value.filter(item => !isNotYet(item)).map(without)
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, without(inner)]))
}

function isNotYet(item: unknown): boolean {
  if (typeof item !== 'object' || item === null) return false
  const { typed_config: any, config_discovery } = item as Json
  // Extension configuration by ECDS: Wasm.
  if (config_discovery !== undefined) return true
  const url = (any as { type_url?: string } | undefined)?.type_url ?? ''
  return NOT_YET.some(type => url.endsWith(`/${type}`))
}

function parse(type: PushType, message: object, name: string): void {
  const at = FieldPath.root(name)
  const warnings: string[] = []
  const warn = (text: string): void => void warnings.push(text)
  if (type === 'CDS') parseCluster(message, at, clusterParser(warn))
  else if (type === 'EDS') parseAssignment(message, at, { dns: false, clusterType: 'EDS', warn })
  else if (type === 'LDS') parseListener(without(message) as object, at, warnings)
  else parseRouteConfiguration(message, at, { hasCluster: () => true, validateClusters: false, warnings })
}

for (const push of PUSHES) {
  t.test(`${push}: every resource is accepted but those that are known not to be`, async t => {
    for (const type of ['CDS', 'EDS', 'LDS', 'RDS'] as const) {
      const response = readPush(push, type)
      const typeName = response.typeUrl.slice(response.typeUrl.indexOf('/') + 1)
      t.ok(response.resources.length > 0)
      for (const { name, body } of response.resources) {
        const place = `${push} ${type} ${name}`
        const expected = REFUSED.find(([where]) => where.test(place))?.[1]
        try {
          parse(type, decodeMessage(typeName, body!.bytes).message, name)
          if (expected !== undefined && !place.includes('ambient'))
            t.fail(`${place} is accepted now: take it off the list`)
        } catch (error) {
          if (!(error instanceof ConfigError)) throw error
          t.match(error.envoyText, expected ?? /^$/, place)
        }
      }
    }
  })
}
