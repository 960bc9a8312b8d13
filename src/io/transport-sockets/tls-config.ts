import type tls from 'node:tls'
import { ConfigError } from '../../base/errors.ts'
import { lazyCrypto, lazyTls } from '../../base/lazy-modules.ts'
import type { FieldPath } from '../../config/field-path.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { defineSupport, unsupportedValue } from '../../config/support.ts'
import { cipherNames, curveName, DEFAULT_CURVES, DEFAULT_SUITES, TLS13_SUITES } from './cipher-names.ts'
import { readData } from './data-source.ts'
import { readCertificates } from './pem.ts'
import { inlineValidation, parseValidation, type ValidationContext } from './validation.ts'

type Common = envoy.extensions.transport_sockets.tls.v3.CommonTlsContext
type Downstream = envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
type Upstream = envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
type Params = envoy.extensions.transport_sockets.tls.v3.TlsParameters
type Certificate = envoy.extensions.transport_sockets.tls.v3.TlsCertificate

export interface CertificateConfig {
  readonly chain: Uint8Array
  readonly key: Uint8Array
  readonly password: string
}

/** CommonTlsContext, cloneable: files are read, names are OpenSSL's. */
export interface CommonTlsConfig {
  readonly minVersion: tls.SecureVersion
  readonly maxVersion: tls.SecureVersion
  /** TLS 1.2 and 1.3 suites in OpenSSL's syntax. */
  readonly ciphers: string
  /** OpenSSL's names, best first. */
  readonly curves: readonly string[]
  readonly signatureAlgorithms: string
  readonly alpn: readonly string[]
  readonly certificates: readonly CertificateConfig[]
  readonly certificateSecrets: readonly string[]
  /** Message with inline data; null = none. A secret of `validationSecret` is merged into it. */
  readonly validation: ValidationContext | null
  readonly validationSecret: string
}

export interface DownstreamTlsConfig extends CommonTlsConfig {
  readonly requireClientCertificate: boolean
  readonly requireSni: boolean
  /** 80 bytes each, as Envoy's; empty = keys of this process. */
  readonly ticketKeys: readonly Uint8Array[]
  readonly ticketKeySecret: string
  readonly tickets: boolean
  /** Seconds; 0 = OpenSSL's default. */
  readonly sessionTimeout: number
  readonly preferClientCiphers: boolean
}

export interface UpstreamTlsConfig extends CommonTlsConfig {
  readonly sni: string
  readonly autoHostSni: boolean
  readonly autoSniSanValidation: boolean
  readonly maxSessionKeys: number
}

const PREFIX = 'envoy.extensions.transport_sockets.tls.v3.'
const commonSupport = defineSupport<Common>(`${PREFIX}CommonTlsContext`, {
  tls_params: 'yes',
  tls_certificates: 'yes',
  tls_certificate_sds_secret_configs: 'yes',
  validation_context: 'yes',
  validation_context_sds_secret_config: 'yes',
  combined_validation_context: 'yes',
  alpn_protocols: 'yes',
})
const downstreamSupport = defineSupport<Downstream>(`${PREFIX}DownstreamTlsContext`, {
  common_tls_context: 'yes',
  require_client_certificate: 'yes',
  require_sni: 'yes',
  session_ticket_keys: 'yes',
  session_ticket_keys_sds_secret_config: 'yes',
  disable_stateless_session_resumption: 'yes',
  // There is no stateful cache: nothing to disable.
  disable_stateful_session_resumption: 'yes',
  session_timeout: 'yes',
  ocsp_staple_policy: 'yes',
  full_scan_certs_on_sni_mismatch: 'yes',
  prefer_client_ciphers: 'yes',
})
const upstreamSupport = defineSupport<Upstream>(`${PREFIX}UpstreamTlsContext`, {
  common_tls_context: 'yes',
  sni: 'yes',
  auto_host_sni: 'yes',
  auto_sni_san_validation: 'yes',
  max_session_keys: 'yes',
  // OpenSSL always checks the key usage of RSA certificates against what they are used for.
  enforce_rsa_key_usage: 'yes',
  allow_renegotiation: 'reject',
})
const paramsSupport = defineSupport<Params>(`${PREFIX}TlsParameters`, {
  tls_minimum_protocol_version: 'yes',
  tls_maximum_protocol_version: 'yes',
  cipher_suites: 'yes',
  ecdh_curves: 'yes',
  signature_algorithms: 'yes',
})
const certificateSupport = defineSupport<Certificate>(`${PREFIX}TlsCertificate`, {
  certificate_chain: 'yes',
  private_key: 'yes',
  password: 'yes',
  watched_directory: 'warn',
  ocsp_staple: 'warn',
  signed_certificate_timestamp: 'warn',
})

export function parseDownstreamTls(proto: Downstream, at: FieldPath, warnings: string[]): DownstreamTlsConfig {
  downstreamSupport.check(withoutFalse(proto), at, warnings)
  const staple = proto.ocsp_staple_policy ?? 'LENIENT_STAPLING'
  if (staple !== 'LENIENT_STAPLING' && staple !== 0)
    throw unsupportedValue(at.field('ocsp_staple_policy'), String(staple))
  const common = parseCommon(proto.common_tls_context ?? {}, at.field('common_tls_context'), warnings, true)
  if (common.certificates.length === 0 && common.certificateSecrets.length === 0) {
    throw new ConfigError(
      'CONFIG_INVALID',
      at.field('common_tls_context'),
      'No TLS certificates found for server context',
    )
  }
  const ticketKeys = (proto.session_ticket_keys?.keys ?? []).map((source, i) => {
    const { bytes } = readData(source)
    if (bytes.length === 80) return bytes
    throw new ConfigError(
      'CONFIG_INVALID',
      at.field('session_ticket_keys').field('keys').index(i),
      `Incorrect TLS session ticket key length. Length ${bytes.length}, expected length 80.`,
    )
  })
  return {
    ...common,
    requireClientCertificate: proto.require_client_certificate ?? false,
    requireSni: proto.require_sni ?? false,
    ticketKeys,
    ticketKeySecret: proto.session_ticket_keys_sds_secret_config?.name ?? '',
    tickets: !(proto.disable_stateless_session_resumption ?? false),
    sessionTimeout: Math.floor((proto.session_timeout ?? 0) / 1000),
    preferClientCiphers: proto.prefer_client_ciphers ?? false,
  }
}

export function parseUpstreamTls(proto: Upstream, at: FieldPath, warnings: string[]): UpstreamTlsConfig {
  upstreamSupport.check(withoutFalse(proto), at, warnings)
  const common = parseCommon(proto.common_tls_context ?? {}, at.field('common_tls_context'), warnings, false)
  const sni = proto.sni ?? ''
  if (sni.includes('\0'))
    throw new ConfigError('CONFIG_INVALID', at.field('sni'), 'SNI names containing NULL-byte are not allowed')
  if (common.certificates.length + common.certificateSecrets.length > 1) {
    throw new ConfigError(
      'CONFIG_INVALID',
      at.field('common_tls_context'),
      'Multiple TLS certificates are not supported for client contexts',
    )
  }
  return {
    ...common,
    sni,
    autoHostSni: proto.auto_host_sni ?? false,
    autoSniSanValidation: proto.auto_sni_san_validation ?? false,
    maxSessionKeys: proto.max_session_keys ?? 1,
  }
}

function parseCommon(proto: Common, at: FieldPath, warnings: string[], server: boolean): CommonTlsConfig {
  commonSupport.check(proto, at, warnings)
  const params = parseParams(proto.tls_params ?? {}, at.field('tls_params'), warnings, server)
  const certificates = (proto.tls_certificates ?? []).map((c, i) =>
    parseCertificate(c, at.field('tls_certificates').index(i), warnings),
  )
  const combined = proto.combined_validation_context
  const context = proto.validation_context ?? combined?.default_validation_context
  const secret = proto.validation_context_sds_secret_config ?? combined?.validation_context_sds_secret_config
  if (combined?.validation_context_certificate_provider ?? combined?.validation_context_certificate_provider_instance) {
    throw unsupportedValue(at.field('combined_validation_context'), 'certificate provider')
  }
  let validation: ValidationContext | null = null
  if (context !== undefined) {
    const field = proto.validation_context === undefined ? 'combined_validation_context' : 'validation_context'
    validation = inlineValidation(context)
    // The trusted CA of a combined context comes with the secret: judge the rest as if it were there.
    if (secret === undefined) parseValidation(context, at.field(field), warnings)
    else parseValidation({ ...context, system_root_certs: {} }, at.field(field), warnings)
  }
  const alpn = proto.alpn_protocols ?? []
  for (const name of alpn) {
    if (name.length === 0 || name.length > 255) {
      throw new ConfigError('CONFIG_INVALID', at.field('alpn_protocols'), 'Invalid ALPN protocol string')
    }
  }
  return {
    ...params,
    alpn,
    certificates,
    certificateSecrets: (proto.tls_certificate_sds_secret_configs ?? []).map(s => s.name ?? ''),
    validation,
    validationSecret: secret?.name ?? '',
  }
}

const VERSIONS: Readonly<Record<string, tls.SecureVersion>> = {
  TLSv1_0: 'TLSv1',
  TLSv1_1: 'TLSv1.1',
  TLSv1_2: 'TLSv1.2',
  TLSv1_3: 'TLSv1.3',
  1: 'TLSv1',
  2: 'TLSv1.1',
  3: 'TLSv1.2',
  4: 'TLSv1.3',
}

const ORDER: readonly string[] = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3']

function parseParams(proto: Params, at: FieldPath, warnings: string[], server: boolean) {
  paramsSupport.check(proto, at, warnings)
  // Envoy's defaults: clients stay at TLS 1.2 unless told otherwise.
  const minVersion = VERSIONS[String(proto.tls_minimum_protocol_version)] ?? 'TLSv1.2'
  const maxVersion = VERSIONS[String(proto.tls_maximum_protocol_version)] ?? (server ? 'TLSv1.3' : 'TLSv1.2')
  if (ORDER.indexOf(minVersion) > ORDER.indexOf(maxVersion)) {
    throw new ConfigError('CONFIG_INVALID', at, 'TLS minimum protocol version is above the maximum one')
  }
  const suites: string[] = []
  const refused: string[] = []
  for (const entry of proto.cipher_suites ?? []) {
    // An entry may itself be a list: the fields are joined by colons before BoringSSL reads them.
    for (const one of entry.split(':')) {
      const names = cipherNames(one)
      if (names === null) refused.push(one)
      else suites.push(...names)
    }
  }
  if (refused.length > 0) {
    throw new ConfigError(
      'CONFIG_INVALID',
      at.field('cipher_suites'),
      `Failed to initialize cipher suites ${(proto.cipher_suites ?? []).join(':')}. The following ciphers were rejected when tried individually: ${refused.join(', ')}`,
    )
  }
  const curves = (proto.ecdh_curves ?? [])
    .flatMap(c => c.split(':'))
    .map((name, i) => {
      const known = curveName(name)
      if (known !== null) return known
      throw new ConfigError(
        'CONFIG_INVALID',
        at.field('ecdh_curves').index(i),
        `Failed to initialize ECDH curves ${(proto.ecdh_curves ?? []).join(':')}`,
      )
    })
  // TLS 1.0 and 1.1 use SHA-1 signatures, which OpenSSL allows at security level 0 only.
  const level = minVersion === 'TLSv1' || minVersion === 'TLSv1.1' ? ':@SECLEVEL=0' : ''
  const list = suites.length > 0 ? suites : DEFAULT_SUITES
  return {
    minVersion,
    maxVersion,
    ciphers: `${TLS13_SUITES}:${list.join(':')}${level}`,
    curves: curves.length > 0 ? curves : DEFAULT_CURVES,
    signatureAlgorithms: (proto.signature_algorithms ?? []).join(':'),
  }
}

/** BoringSSL's text, which people search for. */
const MISMATCH = 'error:0b000074:X.509 certificate routines:OPENSSL_internal:KEY_VALUES_MISMATCH'

function parseCertificate(proto: Certificate, at: FieldPath, warnings: string[]): CertificateConfig {
  certificateSupport.check(proto, at, warnings)
  const chain = readData(proto.certificate_chain)
  const key = readData(proto.private_key)
  const password = Buffer.from(readData(proto.password).bytes).toString('utf8')
  if (key.bytes.length === 0 || chain.bytes.length === 0) {
    // An absent file reads as empty: say which one, in Envoy's words for each.
    const text =
      key.bytes.length === 0
        ? `Failed to load incomplete private key from path: ${key.source}`
        : `Failed to load incomplete certificate from ${chain.source}: certificate chain not set`
    throw new ConfigError('CONFIG_RESOURCE', at, text, { advice: 'the file does not exist or is empty' })
  }
  const checked = checkCertificate({ chain: chain.bytes, key: key.bytes, password }, chain.source, key.source, at)
  const until = readCertificates(chain.bytes)![0]!.validToDate
  // Envoy serves it without a word; whoever looks for the reason of failing handshakes looks here.
  if (until.getTime() < Date.now()) {
    warnings.push(`${at}: the certificate ${chain.source} expired at ${until.toISOString()}: peers will refuse it`)
  }
  return checked
}

/** Loads the pair once on main, so that workers cannot fail. Also for secrets. @throws ConfigError in Envoy's words */
export function checkCertificate(
  c: CertificateConfig,
  chainSource: string,
  keySource: string,
  at: FieldPath,
): CertificateConfig {
  const chain = readCertificates(c.chain)
  if (chain === null) {
    throw new ConfigError('CONFIG_RESOURCE', at, `Failed to load certificate chain from ${chainSource}`, {
      advice: 'the first block must be a certificate in PEM; check that the certificate and the key are not exchanged',
    })
  }
  try {
    const key = lazyCrypto().createPrivateKey({ key: Buffer.from(c.key), passphrase: c.password })
    if (!chain[0]!.checkPrivateKey(key)) throw new Error(MISMATCH)
    lazyTls().createSecureContext({
      cert: Buffer.from(c.chain),
      key: Buffer.from(c.key),
      passphrase: c.password,
      ca: [],
    })
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error)
    const advice = cause === MISMATCH ? `the key does not belong to the certificate ${chainSource}` : undefined
    throw new ConfigError('CONFIG_RESOURCE', at, `Failed to load private key from ${keySource}, Cause: ${cause}`, {
      advice,
    })
  }
  return c
}

/** `false` is the default of every flag here: saying so asks for nothing. */
function withoutFalse<T extends object>(proto: T): T {
  return Object.fromEntries(Object.entries(proto).filter(([, value]) => value !== false)) as T
}
