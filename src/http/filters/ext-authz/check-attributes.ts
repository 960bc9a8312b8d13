import { coerceUtf8 } from '../../../base/utf8.ts'
import { encodeStruct, type StructFields } from '../../../config/struct-wire.ts'
import type { WireWriter } from '../../../config/wire-writer.ts'
import { isPipe } from '../../../io/address.ts'
import type { Address, Connection, TlsInfo } from '../../../io/connection.ts'
import { encodedPem } from '../../client-cert.ts'

/** Parts of envoy.service.auth.v3.AttributeContext that checks of requests and of connections have in common (CheckRequestUtils). */
export interface PeerSettings {
  readonly peerCertificate: boolean
  readonly tlsSession: boolean
}

/** `source` and `destination`. */
export function writePeers(
  w: WireWriter,
  connection: Connection,
  sourceService: string,
  destinationService: string,
  labels: Readonly<Record<string, string>>,
  settings: PeerSettings,
): void {
  w.messageField(1, () => {
    peer(w, connection.remote, principal(connection.tls, false))
    textField(w, 2, sourceService)
    const der = connection.tls?.peerCertificate ?? null
    if (settings.peerCertificate && der !== null) w.stringField(5, encodedPem(der))
  })
  w.messageField(2, () => {
    peer(w, connection.local, principal(connection.tls, true))
    textField(w, 2, destinationService)
    stringMap(w, 3, labels)
  })
}

/** `tls_session` */
export function writeTlsSession(w: WireWriter, connection: Connection, settings: PeerSettings): void {
  if (settings.tlsSession) w.messageField(12, () => w.stringField(1, serverName(connection)))
}

/** latin1 in; string fields are UTF-8. */
export function textField(w: WireWriter, number: number, text: string): void {
  w.bytesField(number, coerceUtf8(Buffer.from(text, 'latin1')))
}

export function stringMap(w: WireWriter, number: number, map: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(map)) {
    w.messageField(number, () => {
      w.stringField(1, key)
      w.stringField(2, value)
    })
  }
}

function peer(w: WireWriter, address: Address, name: string): void {
  w.messageField(1, () => {
    if (isPipe(address)) w.messageField(2, () => w.stringField(1, address.ip))
    else {
      w.messageField(1, () => {
        w.stringField(2, address.ip)
        w.uintField(3, address.port)
      })
    }
  })
  textField(w, 4, name)
}

/** URI SAN, DNS SAN, subject: what there is first. */
function principal(tls: TlsInfo | null, local: boolean): string {
  if (tls === null) return ''
  if (local) return tls.localUriSans[0] ?? tls.localDnsSans[0] ?? tls.localSubject
  return tls.peerUriSans[0] ?? tls.peerDnsSans[0] ?? tls.peerSubject
}

function serverName(connection: Connection): string {
  const sni = connection.tls?.sni ?? ''
  return sni === '' ? connection.requestedServerName : sni
}

type Metadata = Readonly<Record<string, unknown>>

/** Namespaces that are there; the first source that has one gives it whole. */
export function metadata(
  w: WireWriter,
  namespaces: readonly string[],
  first: Metadata | null,
  second: Metadata | null,
): void {
  for (const name of namespaces) {
    const fields =
      first !== null && Object.hasOwn(first, name)
        ? first[name]
        : second !== null && Object.hasOwn(second, name)
          ? second[name]
          : undefined
    if (typeof fields !== 'object' || fields === null) continue
    w.messageField(1, () => {
      w.stringField(1, name)
      const bytes = encodeStruct(fields as StructFields)
      w.tag(2, 2)
      w.bytes(bytes)
    })
  }
}

export function labelsOf(value: unknown): Readonly<Record<string, string>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return {}
  return Object.fromEntries(Object.entries(value).map(([key, label]) => [key, typeof label === 'string' ? label : '']))
}
