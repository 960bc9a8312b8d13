import { ConfigError } from '../../base/errors.ts'
import type { FieldPath } from '../../config/field-path.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { parseStringMatcher } from '../../config/matcher.ts'
import { defineSupport, unsupportedValue } from '../../config/support.ts'
import { readData } from './data-source.ts'
import { isCertificates } from './pem.ts'
import type { SanMatchConfig, SanType } from './san-matcher.ts'

export type ValidationContext = envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext

/** envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext, ready for a worker. */
export interface ValidationConfig {
  /** PEM; null = the chain of the peer is not verified. */
  readonly ca: Uint8Array | null
  readonly systemRoots: boolean
  readonly crl: Uint8Array | null
  /** Lower-case hex SHA-256 of the leaf. */
  readonly hashes: readonly string[]
  /** Base64 SHA-256 of the leaf's SubjectPublicKeyInfo. */
  readonly spki: readonly string[]
  readonly sans: readonly SanMatchConfig[]
  readonly acceptUntrusted: boolean
  /** Intermediates allowed; -1 = OpenSSL's own bound (100). */
  readonly maxDepth: number
}

export const NO_VALIDATION: ValidationConfig = {
  ca: null,
  systemRoots: false,
  crl: null,
  hashes: [],
  spki: [],
  sans: [],
  acceptUntrusted: false,
  maxDepth: -1,
}

const support = defineSupport<ValidationContext>(
  'envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext',
  {
    trusted_ca: 'yes',
    system_root_certs: 'yes',
    verify_certificate_spki: 'yes',
    verify_certificate_hash: 'yes',
    match_typed_subject_alt_names: 'yes',
    match_subject_alt_names: 'yes',
    crl: 'yes',
    trust_chain_verification: 'yes',
    max_verify_depth: 'yes',
    watched_directory: 'warn',
    // OpenSSL reports the last error of a chain only: an expired and untrusted one could not be told from an expired one.
    allow_expired_certificate: 'reject',
    require_signed_certificate_timestamp: 'reject',
    only_verify_leaf_cert_crl: 'reject',
    custom_validator_config: 'reject',
    ca_certificate_provider_instance: 'reject',
  },
)

const SAN_TYPES: Readonly<Record<string, SanType>> = {
  EMAIL: 'EMAIL',
  DNS: 'DNS',
  URI: 'URI',
  IP_ADDRESS: 'IP_ADDRESS',
}

const ANY_SAN: readonly SanType[] = ['DNS', 'URI', 'EMAIL', 'IP_ADDRESS']

/** Null: a text without any list, which Envoy takes for none. Istio's agent names its file as long as it is there, be it empty. */
function parseCrl(proto: ValidationContext, at: FieldPath, warnings: string[]): Uint8Array | null {
  if (proto.crl === undefined) return null
  const { bytes, source } = readData(proto.crl)
  if (Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes('-----BEGIN X509 CRL-----')) return bytes
  if (bytes.length > 0) warnings.push(`${at}: no certificate revocation list in ${source}, nothing is revoked`)
  return null
}

/** @throws ConfigError in Envoy's words */
export function parseValidation(proto: ValidationContext, at: FieldPath, warnings: string[]): ValidationConfig {
  const set = Object.fromEntries(Object.entries(proto).filter(([, value]) => value !== undefined && value !== false))
  support.check(set as ValidationContext, at, warnings)
  const ca = proto.trusted_ca === undefined ? null : readData(proto.trusted_ca)
  if (ca !== null && !isCertificates(ca.bytes)) {
    throw new ConfigError(
      'CONFIG_RESOURCE',
      at.field('trusted_ca'),
      `Failed to load trusted CA certificates from ${ca.source}`,
    )
  }
  const crl = parseCrl(proto, at.field('crl'), warnings)
  if (crl !== null && ca === null) {
    throw new ConfigError('CONFIG_INVALID', at.field('crl'), 'Certificate revocation list (CRL) requires trusted CA')
  }
  const systemRoots = proto.system_root_certs !== undefined
  const sans = parseSans(proto, at)
  const acceptUntrusted = trustMode(proto, at)
  if (sans.length > 0 && ca === null && !systemRoots) {
    throw new ConfigError(
      'CONFIG_INVALID',
      at,
      'SAN-based verification of peer certificates without trusted CA is insecure and not allowed',
    )
  }
  return {
    ca: ca === null ? null : ca.bytes,
    systemRoots,
    crl,
    hashes: (proto.verify_certificate_hash ?? []).map((h, i) =>
      parseHash(h, at.field('verify_certificate_hash').index(i)),
    ),
    spki: (proto.verify_certificate_spki ?? []).map((s, i) =>
      parseSpki(s, at.field('verify_certificate_spki').index(i)),
    ),
    sans,
    acceptUntrusted,
    maxDepth: proto.max_verify_depth ?? -1,
  }
}

/** combined_validation_context: protobuf's MergeFrom of what SDS gave into the default. */
export function mergeValidation(base: ValidationContext, update: ValidationContext): ValidationContext {
  const out: Record<string, unknown> = { ...base }
  for (const [key, value] of Object.entries(update)) {
    if (value === undefined) continue
    const before = out[key]
    out[key] = Array.isArray(before) && Array.isArray(value) ? [...before, ...value] : value
  }
  return out
}

/** The context with its files read, so that it can be cloned to workers and merged there. */
export function inlineValidation(proto: ValidationContext): ValidationContext {
  const out: Record<string, unknown> = { ...proto }
  for (const field of ['trusted_ca', 'crl'] as const) {
    const data = proto[field]
    if (data !== undefined) out[field] = { inline_bytes: readData(data).bytes }
  }
  return out
}

function parseSans(proto: ValidationContext, at: FieldPath): SanMatchConfig[] {
  const out: SanMatchConfig[] = []
  for (const [i, m] of (proto.match_typed_subject_alt_names ?? []).entries()) {
    const here = at.field('match_typed_subject_alt_names').index(i)
    const type = SAN_TYPES[String(m.san_type ?? 'SAN_TYPE_UNSPECIFIED')]
    if (type === undefined) throw unsupportedValue(here.field('san_type'), String(m.san_type))
    out.push({ type, match: parseStringMatcher(m.matcher ?? {}, here.field('matcher')) })
  }
  if (out.length > 0) return out
  for (const [i, m] of (proto.match_subject_alt_names ?? []).entries()) {
    const match = parseStringMatcher(m, at.field('match_subject_alt_names').index(i))
    for (const type of ANY_SAN) out.push({ type, match })
  }
  return out
}

function trustMode(proto: ValidationContext, at: FieldPath): boolean {
  const mode = proto.trust_chain_verification ?? 'VERIFY_TRUST_CHAIN'
  if (mode === 'VERIFY_TRUST_CHAIN' || mode === 0) return false
  if (mode === 'ACCEPT_UNTRUSTED' || mode === 1) return true
  throw unsupportedValue(at.field('trust_chain_verification'), String(mode))
}

function parseHash(text: string, at: FieldPath): string {
  const hex = text.replaceAll(':', '').toLowerCase()
  if (!/^[0-9a-f]{64}$/.test(hex)) throw new ConfigError('CONFIG_INVALID', at, `Invalid hex-encoded SHA-256 ${text}`)
  return hex
}

function parseSpki(text: string, at: FieldPath): string {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length !== 32) throw new ConfigError('CONFIG_INVALID', at, `Invalid base64-encoded SHA-256 ${text}`)
  return bytes.toString('base64')
}
