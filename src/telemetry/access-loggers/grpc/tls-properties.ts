import type { WireWriter } from '../../../config/wire-writer.ts'
import type { TlsInfo } from '../../../io/connection.ts'

const VERSIONS: Readonly<Record<string, number>> = { TLSv1: 1, 'TLSv1.1': 2, 'TLSv1.2': 3, 'TLSv1.3': 4 }

/** IANA numbers of the suites that Envoy's TLS library has, by the names it prints. */
const SUITES: Readonly<Record<string, number>> = {
  TLS_AES_128_GCM_SHA256: 0x1301,
  TLS_AES_256_GCM_SHA384: 0x1302,
  TLS_CHACHA20_POLY1305_SHA256: 0x1303,
  'ECDHE-ECDSA-AES128-GCM-SHA256': 0xc02b,
  'ECDHE-ECDSA-AES256-GCM-SHA384': 0xc02c,
  'ECDHE-RSA-AES128-GCM-SHA256': 0xc02f,
  'ECDHE-RSA-AES256-GCM-SHA384': 0xc030,
  'ECDHE-RSA-CHACHA20-POLY1305': 0xcca8,
  'ECDHE-ECDSA-CHACHA20-POLY1305': 0xcca9,
  'ECDHE-PSK-CHACHA20-POLY1305': 0xccac,
  'ECDHE-ECDSA-AES128-SHA': 0xc009,
  'ECDHE-ECDSA-AES256-SHA': 0xc00a,
  'ECDHE-RSA-AES128-SHA': 0xc013,
  'ECDHE-RSA-AES256-SHA': 0xc014,
  'ECDHE-RSA-AES128-SHA256': 0xc027,
  'ECDHE-PSK-AES128-CBC-SHA': 0xc035,
  'ECDHE-PSK-AES256-CBC-SHA': 0xc036,
  'AES128-GCM-SHA256': 0x9c,
  'AES256-GCM-SHA384': 0x9d,
  'AES128-SHA': 0x2f,
  'AES256-SHA': 0x35,
  'PSK-AES128-CBC-SHA': 0x8c,
  'PSK-AES256-CBC-SHA': 0x8d,
}

/** envoy.data.accesslog.v3.TLSProperties; certificate names are the library's, which are valid text. */
export function writeTls(w: WireWriter, sni: string, tls: TlsInfo | null): void {
  if (tls !== null) {
    w.uintField(1, VERSIONS[tls.version] ?? 0)
    const suite = w.tagged(2)
    w.uintField(1, SUITES[tls.cipher] ?? 0)
    w.close(suite)
  }
  w.stringField(3, sni)
  if (tls === null) return
  writeCertificate(w, 4, tls.localUriSans, tls.localSubject, '')
  writeCertificate(w, 5, tls.peerUriSans, tls.peerSubject, tls.peerIssuer)
  w.stringField(6, tls.sessionId)
}

function writeCertificate(
  w: WireWriter,
  field: number,
  uris: readonly string[],
  subject: string,
  issuer: string,
): void {
  const mark = w.tagged(field)
  for (let i = 0; i < uris.length; i++) {
    const san = w.tagged(1)
    w.stringField(1, uris[i]!)
    w.close(san)
  }
  w.stringField(2, subject)
  w.stringField(3, issuer)
  w.close(mark)
}
