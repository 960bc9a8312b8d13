import { isIP } from 'node:net'
import type { HeaderBlock } from '../codec/header-block.ts'
import type { Cluster } from './upstream.ts'

/**
 * Server name auto_sni and auto_san_validation derive from a request: the authority (or override_auto_sni_header when it is
 * there) without its port. '' = none: neither is on, or the authority is an address, which TLS forbids as SNI (RFC 6066 §3).
 */
export function autoServerName(cluster: Cluster, headers: HeaderBlock): string {
  const http = cluster.config.http
  if (!http.autoSni && !http.autoSanValidation) return ''
  const override = http.overrideAutoSniHeader === '' ? undefined : headers.get(http.overrideAutoSniHeader)
  const authority = override === undefined || override === '' ? headers.authority : override
  const colon = authority.lastIndexOf(':')
  const hasPort = colon > authority.lastIndexOf(']')
  const host = hasPort ? authority.slice(0, colon) : authority
  return isIP(host) !== 0 || host.startsWith('[') ? '' : host
}
