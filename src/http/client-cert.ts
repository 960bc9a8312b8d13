import type { HeaderBlock } from '../codec/header-block.ts'
import type { Connection, TlsInfo } from '../io/connection.ts'
import type { HcmConfig } from './connection-manager-config.ts'

const XFCC = 'x-forwarded-client-cert'

type Details = HcmConfig['clientCertDetails']

/** x-forwarded-client-cert by forward_client_cert_details (Envoy: ConnectionManagerUtility::mutateXfccRequestHeader). */
export function mutateClientCert(h: HeaderBlock, connection: Connection, config: HcmConfig): void {
  const mode = config.forwardClientCert
  if (mode === 'ALWAYS_FORWARD_ONLY') return
  const tls = connection.tls
  const mutual = tls?.peerCertificatePresented === true
  if (mode === 'SANITIZE' || !mutual) {
    h.remove(XFCC)
    return
  }
  if (mode === 'FORWARD_ONLY') return
  const element = elementOf(tls, config.clientCertDetails)
  if (element === '') return
  if (mode === 'APPEND_FORWARD') {
    const old = h.get(XFCC)
    h.set(XFCC, old === undefined || old === '' ? element : `${old},${element}`)
  } else h.set(XFCC, element)
}

/** Of a connection all requests have the same, and a certificate's text is long to put together. */
const elements = new WeakMap<TlsInfo, { readonly details: Details; readonly element: string }>()

function elementOf(tls: TlsInfo, details: Details): string {
  const known = elements.get(tls)
  if (known !== undefined && known.details === details) return known.element
  const element = newElement(tls, details)
  elements.set(tls, { details, element })
  return element
}

function newElement(tls: TlsInfo, details: Details): string {
  const parts: string[] = []
  for (const uri of tls.localUriSans) parts.push(`By=${uri}`)
  if (tls.peerSha256 !== '') parts.push(`Hash=${tls.peerSha256}`)
  if (details.cert && tls.peerCertificate !== null) parts.push(`Cert="${encodedPem(tls.peerCertificate)}"`)
  if (details.chain && tls.peerCertificateChainPem !== '')
    parts.push(`Chain="${encodeURIComponent(tls.peerCertificateChainPem)}"`)
  if (details.subject) parts.push(`Subject="${tls.peerSubject.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`)
  if (details.uri) {
    if (tls.peerUriSans.length === 0) parts.push('URI=')
    for (const uri of tls.peerUriSans) parts.push(`URI=${uri}`)
  }
  if (details.dns) for (const name of tls.peerDnsSans) parts.push(`DNS=${name}`)
  return parts.join(';')
}

/** PEM, percent-encoded. */
export function encodedPem(der: Uint8Array): string {
  const lines =
    Buffer.from(der.buffer, der.byteOffset, der.byteLength)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return encodeURIComponent(`-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`)
}
