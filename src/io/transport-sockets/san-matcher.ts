import type { StringMatchConfig } from '../../config/matcher.ts'
import { compileStringMatch, type StringMatch } from '../../config/string-match.ts'
import type { SubjectAltName } from './certificate.ts'

export type SanType = 'EMAIL' | 'DNS' | 'URI' | 'IP_ADDRESS'

export interface SanMatchConfig {
  readonly type: SanType
  readonly match: StringMatchConfig
}

/** match_typed_subject_alt_names: one name that fits one matcher of its type is enough. */
export class SanMatcher {
  readonly #rules: { type: SanType; exactDns: string; match: StringMatch }[]
  /** What was asked for, for log lines. */
  readonly expected: string

  constructor(configs: readonly SanMatchConfig[]) {
    this.#rules = configs.map(c => ({
      type: c.type,
      // Envoy compares DNS names by the rules of wildcards only when the matcher is exact.
      exactDns: c.type === 'DNS' && c.match.kind === 'exact' ? c.match.text : '',
      match: compileStringMatch(c.match),
    }))
    this.expected = configs.map(c => `${c.type} ${c.match.kind} ${c.match.text}`).join(', ')
  }

  matches(sans: readonly SubjectAltName[]): boolean {
    for (const san of sans) {
      for (const rule of this.#rules) {
        if (rule.type !== san.type) continue
        if (rule.exactDns !== '' ? dnsNameMatch(rule.exactDns, san.value) : rule.match.matches(san.value)) return true
      }
    }
    return false
  }
}

/** `Utility::dnsNameMatch`: `pattern` is the certificate's name; a wildcard stands for (part of) the leftmost label only. */
export function dnsNameMatch(name: string, pattern: string): boolean {
  const dns = name.toLowerCase()
  const want = pattern.toLowerCase()
  if (dns === want) return true
  const dot = want.indexOf('.')
  const star = want.indexOf('*')
  if (star < 0 || dot < 0 || star > dot || want.indexOf('*', star + 1) >= 0) return false
  const nameDot = dns.indexOf('.')
  if (nameDot < 0 || dns.slice(nameDot) !== want.slice(dot)) return false
  const label = dns.slice(0, nameDot)
  if (label === '') return false
  const prefix = want.slice(0, star)
  const suffix = want.slice(star + 1, dot)
  if (prefix === '' && suffix === '') return true
  // RFC 6125 §6.4.3: no partial wildcard against (or inside) an A-label.
  if (label.startsWith('xn--') || want.startsWith('xn--')) return false
  return label.length >= prefix.length + suffix.length && label.startsWith(prefix) && label.endsWith(suffix)
}
