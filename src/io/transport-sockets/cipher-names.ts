/** BoringSSL's TLS 1.2 suites: OpenSSL's name and the IANA name, either is good in cipher_suites. */
const SUITES: readonly (readonly [string, string])[] = [
  ['ECDHE-ECDSA-AES128-GCM-SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
  ['ECDHE-RSA-AES128-GCM-SHA256', 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'],
  ['ECDHE-ECDSA-AES256-GCM-SHA384', 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'],
  ['ECDHE-RSA-AES256-GCM-SHA384', 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384'],
  ['ECDHE-ECDSA-CHACHA20-POLY1305', 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256'],
  ['ECDHE-RSA-CHACHA20-POLY1305', 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256'],
  ['ECDHE-PSK-CHACHA20-POLY1305', 'TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256'],
  ['ECDHE-ECDSA-AES128-SHA', 'TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA'],
  ['ECDHE-RSA-AES128-SHA', 'TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA'],
  ['ECDHE-RSA-AES128-SHA256', 'TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256'],
  ['ECDHE-PSK-AES128-CBC-SHA', 'TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA'],
  ['ECDHE-ECDSA-AES256-SHA', 'TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA'],
  ['ECDHE-RSA-AES256-SHA', 'TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA'],
  ['ECDHE-PSK-AES256-CBC-SHA', 'TLS_ECDHE_PSK_WITH_AES_256_CBC_SHA'],
  ['AES128-GCM-SHA256', 'TLS_RSA_WITH_AES_128_GCM_SHA256'],
  ['AES256-GCM-SHA384', 'TLS_RSA_WITH_AES_256_GCM_SHA384'],
  ['AES128-SHA', 'TLS_RSA_WITH_AES_128_CBC_SHA'],
  ['PSK-AES128-CBC-SHA', 'TLS_PSK_WITH_AES_128_CBC_SHA'],
  ['AES256-SHA', 'TLS_RSA_WITH_AES_256_CBC_SHA'],
  ['PSK-AES256-CBC-SHA', 'TLS_PSK_WITH_AES_256_CBC_SHA'],
]

const BY_NAME = new Map(SUITES.flatMap(([openssl, iana]) => [[openssl, openssl] as const, [iana, openssl] as const]))

/** TLS 1.3 suites cannot be configured in BoringSSL; its clients offer them in this order. */
export const TLS13_SUITES = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256'

/** Envoy's defaults (`DEFAULT_CIPHER_SUITES` of context_config_impl.cc); clients and servers have the same list. */
export const DEFAULT_SUITES: readonly string[] = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
]

/** `[A|B]` is BoringSSL's group of equal preference; OpenSSL has none, so its members follow each other. Null = unknown name. */
export function cipherNames(entry: string): readonly string[] | null {
  const group = entry.startsWith('[') && entry.endsWith(']') ? entry.slice(1, -1).split('|') : [entry]
  const out: string[] = []
  for (const name of group) {
    // OpenSSL's keywords work in both libraries and are kept.
    const known = BY_NAME.get(name) ?? (/^(ALL|HIGH|[!-]\w+)$/.test(name) ? name : undefined)
    if (known === undefined) return null
    out.push(known)
  }
  return out
}

const CURVES: Readonly<Record<string, string>> = {
  X25519: 'X25519',
  'P-224': 'secp224r1',
  'P-256': 'prime256v1',
  'P-384': 'secp384r1',
  'P-521': 'secp521r1',
  prime256v1: 'prime256v1',
  secp384r1: 'secp384r1',
  secp521r1: 'secp521r1',
  X25519MLKEM768: 'X25519MLKEM768',
}

/** Envoy 1.40 (BoringSSL): hybrid post-quantum first, on both sides. */
export const DEFAULT_CURVES: readonly string[] = ['X25519MLKEM768', 'X25519', 'prime256v1']

/** Code points of supported_groups (IANA "TLS Supported Groups"). */
const GROUPS: Readonly<Record<string, number>> = {
  secp224r1: 21,
  prime256v1: 23,
  secp384r1: 24,
  secp521r1: 25,
  X25519: 29,
  X25519MLKEM768: 0x11ec,
}

/** A list for servers. BoringSSL follows the server's order; OpenSSL does when each group is a tuple of its own. */
export function serverGroups(curves: readonly string[]): string {
  return curves.join('/')
}

/** A list for clients. BoringSSL sends key shares for its first group and for the first of the other (post-quantum or not) kind. */
export function clientGroups(curves: readonly string[]): string {
  const hybrid = isHybrid(curves[0]!)
  const second = curves.findIndex(c => isHybrid(c) !== hybrid)
  return curves.map((c, i) => (i === 0 || i === second ? `*${c}` : c)).join(':')
}

/** What `serverGroups` and a client with these groups agree on; '' when nothing. Node does not tell servers. */
export function agreedCurve(curves: readonly string[], offered: readonly number[], tls13: boolean): string {
  for (const c of curves) {
    if (offered.includes(GROUPS[c] ?? -1) && (tls13 || !isHybrid(c))) return c
  }
  return ''
}

function isHybrid(curve: string): boolean {
  return curve === 'X25519MLKEM768'
}

/** BoringSSL's group name as OpenSSL's; null = unknown. */
export function curveName(name: string): string | null {
  return CURVES[name] ?? null
}

/** OpenSSL's group name as BoringSSL prints it in `ssl.curves.<name>`. */
export function printedCurve(name: string): string {
  // OpenSSL says `x25519` of a session it resumes.
  const lower = name.toLowerCase()
  for (const [boring, openssl] of Object.entries(CURVES)) if (openssl.toLowerCase() === lower) return boring
  return name
}
