import type { X509Certificate } from 'node:crypto'
import { lazyCrypto } from '../base/lazy-modules.ts'
import { printJson } from '../config/json-writer.ts'
import { formatTimestamp } from '../config/well-known.ts'
import { certificateNames } from '../io/transport-sockets/certificate.ts'
import { type AdminHandler, JSON_TYPE } from './handler.ts'

/** PEM and where it was read from: a path or `<inline>`. */
export interface PemFact {
  readonly path: string
  readonly pem: Uint8Array
}

/** One TLS context in use (of a filter chain or a cluster). */
export interface TlsContextFact {
  readonly trustedCa: PemFact | null
  readonly chains: readonly PemFact[]
}

const DAY = 86_400_000
const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/

/** envoy.admin.v3.Certificates. `now`: wall clock, ms. */
export function certsHandler(contexts: () => readonly TlsContextFact[], now: () => number = Date.now): AdminHandler {
  return {
    path: '/certs',
    help: 'print certs on machine',
    mutates: false,
    handle() {
      const certificates = contexts().map(context => ({
        ca_cert: context.trustedCa === null ? [] : details(context.trustedCa, now()),
        cert_chain: context.chains.flatMap(chain => details(chain, now())),
      }))
      return { status: 200, contentType: JSON_TYPE, body: `${printJson({ certificates })}\n` }
    },
  }
}

/** envoy.admin.v3.CertificateDetails of the first certificate, as Envoy shows only that; none when it cannot be read. */
function details({ path, pem }: PemFact, now: number): object[] {
  const block = PEM_BLOCK.exec(Buffer.from(pem).toString('latin1'))
  if (block === null) return []
  let certificate: X509Certificate
  try {
    certificate = new (lazyCrypto().X509Certificate)(block[0])
  } catch {
    return []
  }
  const names = certificateNames(certificate.raw)
  const until = Date.parse(certificate.validTo)
  return [
    {
      path,
      serial_number: names.serial,
      subject_alt_names: names.sans.flatMap(({ type, value }): object[] => {
        if (type === 'DNS') return [{ dns: value }]
        if (type === 'URI') return [{ uri: value }]
        return type === 'IP_ADDRESS' ? [{ ip_address: value }] : []
      }),
      days_until_expiration: `${Math.max(0, Math.floor((until - now) / DAY))}`,
      valid_from: formatTimestamp(Date.parse(certificate.validFrom)),
      expiration_time: formatTimestamp(until),
    },
  ]
}
