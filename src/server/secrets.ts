import { ConfigError } from '../base/errors.ts'
import { readDataSource } from '../config/data-source.ts'
import type { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import type { SecretData, SecretSource } from '../config/services.ts'
import type { Batcher } from './batcher.ts'
import { publish } from './publisher.ts'

type SecretProto = envoy.extensions.transport_sockets.tls.v3.Secret
type DataSource = envoy.config.core.v3.DataSource

/** Secrets on main: static ones and those SDS brought. Files are read here, once; workers only see bytes. */
export class SecretStore implements SecretSource {
  readonly #secrets = new Map<string, SecretData>()
  readonly #watchers = new Map<string, Set<() => void>>()
  readonly #batcher: Batcher

  constructor(batcher: Batcher) {
    this.#batcher = batcher
  }

  /** Throws ConfigError (a file that cannot be read, a secret without a name). Changes nothing then. */
  parse(proto: SecretProto, at: FieldPath, version: string): SecretData {
    const name = proto.name ?? ''
    const data = (source: DataSource | undefined, field: string): Uint8Array | null =>
      source === undefined ? null : readDataSource(source, at.field(field))
    const certificate = proto.tls_certificate
    const validation = proto.validation_context
    const tickets = proto.session_ticket_keys
    const generic = proto.generic_secret
    if (certificate?.private_key_provider !== undefined) {
      throw new ConfigError(
        'CONFIG_UNSUPPORTED',
        at.field('tls_certificate'),
        'private key providers are not supported',
      )
    }
    if (certificate?.pkcs12 !== undefined) {
      throw new ConfigError('CONFIG_UNSUPPORTED', at.field('tls_certificate'), 'PKCS #12 is not supported', {
        advice: 'give certificate_chain and private_key',
      })
    }
    return {
      name,
      version,
      ...(certificate === undefined
        ? {}
        : {
            tlsCertificate: {
              certificateChain: data(certificate.certificate_chain, 'tls_certificate') ?? new Uint8Array(0),
              privateKey: data(certificate.private_key, 'tls_certificate') ?? new Uint8Array(0),
              password: Buffer.from(data(certificate.password, 'tls_certificate') ?? []).toString('utf8'),
              ocspStaple: data(certificate.ocsp_staple, 'tls_certificate'),
              source: certificate.certificate_chain?.filename ?? '<inline>',
              keySource: certificate.private_key?.filename ?? '<inline>',
            },
          }),
      ...(validation === undefined ? {} : { validationContext: inlined(validation, at.field('validation_context')) }),
      ...(tickets === undefined
        ? {}
        : {
            sessionTicketKeys: (tickets.keys ?? []).map(key => data(key, 'session_ticket_keys') ?? new Uint8Array(0)),
          }),
      ...(generic === undefined ? {} : { genericSecret: data(generic.secret, 'generic_secret') ?? new Uint8Array(0) }),
    }
  }

  put(secret: SecretData): void {
    this.#secrets.set(secret.name, secret)
    this.#batcher.secret(publish(secret.name, secret.version, secret))
    for (const changed of this.#watchers.get(secret.name) ?? []) changed()
  }

  /** Nobody follows it any more. */
  remove(name: string): void {
    if (this.#secrets.delete(name)) this.#batcher.removeSecret(name)
  }

  get(name: string): SecretData | null {
    return this.#secrets.get(name) ?? null
  }

  all(): readonly SecretData[] {
    return [...this.#secrets.values()]
  }

  watch(name: string, changed: () => void): () => void {
    let watchers = this.#watchers.get(name)
    if (watchers === undefined) {
      watchers = new Set()
      this.#watchers.set(name, watchers)
    }
    watchers.add(changed)
    return () => {
      this.#watchers.get(name)?.delete(changed)
    }
  }
}

/** The secret as it is in use: what files gave stands in their place (sds_api.cc, resolveDataSource), and dumps show that. */
export function withFileContents(proto: SecretProto, data: SecretData): SecretProto {
  const { tls_certificate: certificate, validation_context: validation } = proto
  const { tlsCertificate, validationContext } = data
  const content = (source: DataSource | undefined, bytes: Uint8Array | undefined): DataSource | undefined =>
    source?.filename === undefined || bytes === undefined ? source : { inline_bytes: bytes }
  return {
    ...proto,
    ...(certificate === undefined || tlsCertificate === undefined
      ? {}
      : {
          tls_certificate: withoutAbsent({
            ...certificate,
            certificate_chain: content(certificate.certificate_chain, tlsCertificate.certificateChain),
            private_key: content(certificate.private_key, tlsCertificate.privateKey),
          }),
        }),
    ...(validation === undefined || validationContext === undefined
      ? {}
      : {
          validation_context: withoutAbsent({
            ...validation,
            trusted_ca: content(
              validation.trusted_ca,
              (validationContext as ValidationContext).trusted_ca?.inline_bytes as Uint8Array | undefined,
            ),
          }),
        }),
  } as SecretProto
}

function withoutAbsent<T extends object>(message: T): T {
  return Object.fromEntries(Object.entries(message).filter(([, value]) => value !== undefined)) as T
}

type ValidationContext = envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext

/** The message with its data sources as inline bytes: workers read no files. */
function inlined(context: ValidationContext, at: FieldPath): object {
  const read = (source: DataSource | undefined, field: string): { inline_bytes: Uint8Array } | undefined => {
    if (source === undefined) return undefined
    return { inline_bytes: readDataSource(source, at.field(field)) ?? new Uint8Array(0) }
  }
  return {
    ...context,
    ...(context.trusted_ca === undefined ? {} : { trusted_ca: read(context.trusted_ca, 'trusted_ca') }),
    ...(context.crl === undefined ? {} : { crl: read(context.crl, 'crl') }),
  }
}
