import { cut } from '../base/list.ts'
import type { CodecStream } from '../codec/codec.ts'
import type { HeaderBlock } from '../codec/header-block.ts'
import type { HcmConfig } from './connection-manager-config.ts'

export interface Refusal {
  readonly status: number
  readonly body: string
  readonly details: string
  /** Flag DPE. */
  readonly protocolError: boolean
}

const missingHost: Refusal = { status: 400, body: '', details: 'missing_host_header', protocolError: false }
const absolutePath: Refusal = { status: 404, body: '', details: 'absolute_path_rejected', protocolError: false }
const badAuthority: Refusal = {
  status: 400,
  body: 'Bad Request',
  details: 'http.invalid_authority',
  protocolError: true,
}
const missingPath: Refusal = { status: 400, body: '', details: 'missing_path_rejected', protocolError: false }
const underscores: Refusal = {
  status: 400,
  body: 'Bad Request',
  details: 'http1.unexpected_underscore',
  protocolError: true,
}

// RFC 3986 §3.2 authority characters, as Envoy's HeaderUtility::authorityIsValid.
const authority = /^[A-Za-z0-9\-._~!$&'()*+,;=:@[\]%]*$/

/** The last one that passed: many requests name one. Bounded, because it is kept. */
let goodAuthority = ''
const LONG_AUTHORITY = 256

function isAuthority(text: string): boolean {
  if (text === goodAuthority) return true
  if (!authority.test(text)) return false
  if (text.length <= LONG_AUTHORITY) goodAuthority = text
  return true
}

/** Checks of the connection manager before routing, in Envoy's order; null = fine. */
export function checkRequestHeaders(h: HeaderBlock, s: CodecStream, config: HcmConfig): Refusal | null {
  if (s.hostMissing === true) return missingHost
  if (h.authority !== '' && !isAuthority(h.authority)) return badAuthority
  if (config.underscores !== 'ALLOW' && dropUnderscores(h) && config.underscores === 'REJECT_REQUEST')
    return underscores
  if (h.path === '') return h.method === 'CONNECT' ? null : missingPath
  return h.path.charCodeAt(0) === 47 ? null : absolutePath
}

/** Takes names with an underscore out; true when there were any. */
function dropUnderscores(h: HeaderBlock): boolean {
  const list = h.list
  let to = 0
  for (let i = 0; i < list.length; i += 2) {
    if (list[i]!.indexOf('_') >= 0) continue
    list[to] = list[i]!
    list[to + 1] = list[i + 1]!
    to += 2
  }
  const found = to < list.length
  cut(list, to)
  return found
}

/** `connection: upgrade` with an `upgrade` header (Envoy: Utility::isUpgrade). */
export function isUpgradeRequest(h: HeaderBlock): boolean {
  const upgrade = h.get('upgrade')
  if (upgrade === undefined || upgrade === '') return false
  const connection = h.getAll('connection')
  return connection !== undefined && /(^|,)\s*upgrade\s*(,|$)/i.test(connection)
}

/** strip_matching_host_port, strip_any_host_port, strip_trailing_host_dot. */
export function normalizeHost(h: HeaderBlock, port: number, config: HcmConfig): void {
  if (!config.stripAnyHostPort && !config.stripMatchingHostPort && !config.stripTrailingHostDot) return
  let host = h.authority
  let portText = ''
  const colon = host.lastIndexOf(':')
  if (colon > 0 && colon > host.lastIndexOf(']')) {
    portText = host.slice(colon)
    host = host.slice(0, colon)
  }
  if (config.stripTrailingHostDot && host.endsWith('.')) host = host.slice(0, -1)
  const number = portText === '' ? 0 : Number(portText.slice(1))
  if (config.stripAnyHostPort || (config.stripMatchingHostPort && number === port)) portText = ''
  h.authority = host + portText
}
