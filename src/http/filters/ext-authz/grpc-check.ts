import { coerceUtf8 } from '../../../base/utf8.ts'
import type { GrpcCallUser, GrpcClient, PendingCall } from '../../../config/services.ts'
import { encodeStruct, type StructFields } from '../../../config/struct-wire.ts'
import { WireError } from '../../../config/wire-reader.ts'
import { WireWriter } from '../../../config/wire-writer.ts'
import { isPipe } from '../../../io/address.ts'
import type { Address, Connection, TlsInfo } from '../../../io/connection.ts'
import { encodedPem } from '../../client-cert.ts'
import type { HttpFilterServices } from '../../filter-factory.ts'
import { AuthzAnswer, type AuthzUser } from './answer.ts'
import { readCheckResponse } from './check-response.ts'
import type { ExtAuthzConfig, GrpcAuthzConfig } from './config.ts'
import type { CheckSubject, HeaderSelection } from './subject.ts'

const PATH = '/envoy.service.auth.v3.Authorization/Check'

/** An authorization service of envoy.service.auth.v3 (GrpcClientImpl, CheckRequestUtils). */
export class GrpcAuthzClient {
  readonly #client: GrpcClient
  readonly #timeout: number
  readonly #filter: ExtAuthzConfig
  readonly #selection: HeaderSelection
  /** Of this proxy, by bootstrap_metadata_labels_key. */
  readonly #labels: Readonly<Record<string, string>>

  constructor(
    config: GrpcAuthzConfig,
    filter: ExtAuthzConfig,
    selection: HeaderSelection,
    services: HttpFilterServices,
  ) {
    this.#client = services.callOuts.grpc(config.service)
    this.#timeout = config.timeout
    this.#filter = filter
    this.#selection = selection
    this.#labels = labelsOf(services.node.metadata[filter.labelsKey])
  }

  check(subject: CheckSubject, user: AuthzUser): PendingCall {
    return this.#client.call(PATH, this.#encode(subject), this.#timeout, new GrpcCheck(user), subject.stream)
  }

  #encode(subject: CheckSubject): Uint8Array {
    const w = new WireWriter()
    const { stream: s, extensions } = subject
    const connection = s.info.connection!
    const { peerCertificate, tlsSession, metadataNamespaces, routeMetadataNamespaces } = this.#filter
    w.messageField(1, () => {
      w.messageField(1, () => {
        peer(w, connection.remote, principal(connection.tls, false))
        textField(w, 2, s.requestHeaders!.get('x-envoy-downstream-service-cluster') ?? '')
        const der = connection.tls?.peerCertificate ?? null
        if (peerCertificate && der !== null) w.stringField(5, encodedPem(der))
      })
      w.messageField(2, () => {
        peer(w, connection.local, principal(connection.tls, true))
        stringMap(w, 3, this.#labels)
      })
      w.messageField(4, () => {
        time(w, s.info.startWall)
        w.messageField(2, () => this.#request(w, subject))
      })
      stringMap(w, 10, extensions)
      w.messageField(11, () => {
        const own = connection.streamInfo?.dynamicMetadata ?? null
        metadata(w, metadataNamespaces, s.info.dynamicMetadata, own)
      })
      if (tlsSession) w.messageField(12, () => w.stringField(1, serverName(connection)))
      w.messageField(13, () => metadata(w, routeMetadataNamespaces, s.route()?.metadata ?? null, null))
    })
    return w.finish()
  }

  #request(w: WireWriter, subject: CheckSubject): void {
    const { stream: s, body } = subject
    const h = s.requestHeaders!
    w.stringField(1, String(s.random))
    textField(w, 2, h.method)
    const headers = this.#selection.headers(subject)
    if (!this.#filter.rawHeaders) {
      for (let i = 0; i < headers.length; i += 2) {
        w.messageField(3, () => {
          textField(w, 1, headers[i]!)
          textField(w, 2, headers[i + 1]!)
        })
      }
    }
    textField(w, 4, h.path)
    textField(w, 5, h.authority)
    textField(w, 6, h.scheme)
    w.uintField(9, s.info.bytesReceived)
    w.stringField(10, s.info.protocol)
    if (body !== null) w.bytesField(this.#filter.packAsBytes ? 12 : 11, body)
    if (this.#filter.rawHeaders) {
      w.messageField(13, () => {
        for (let i = 0; i < headers.length; i += 2) {
          w.messageField(1, () => {
            textField(w, 1, headers[i]!)
            w.bytesField(3, Buffer.from(headers[i + 1]!, 'latin1'))
          })
        }
      })
    }
  }
}

class GrpcCheck implements GrpcCallUser {
  readonly #user: AuthzUser

  constructor(user: AuthzUser) {
    this.#user = user
  }

  onReply(message: Uint8Array): void {
    let answer: AuthzAnswer
    try {
      answer = readCheckResponse(message)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      answer = new AuthzAnswer()
    }
    this.#user.onAnswer(answer)
  }

  onFailure(): void {
    this.#user.onAnswer(new AuthzAnswer())
  }
}

/** latin1 in; string fields are UTF-8. */
function textField(w: WireWriter, number: number, text: string): void {
  w.bytesField(number, coerceUtf8(Buffer.from(text, 'latin1')))
}

function stringMap(w: WireWriter, number: number, map: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(map)) {
    w.messageField(number, () => {
      w.stringField(1, key)
      w.stringField(2, value)
    })
  }
}

function time(w: WireWriter, wall: number): void {
  w.messageField(1, () => {
    w.uintField(1, Math.floor(wall / 1000))
    w.uintField(2, Math.floor((wall % 1000) * 1e6))
  })
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
function metadata(w: WireWriter, namespaces: readonly string[], first: Metadata | null, second: Metadata | null): void {
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

function labelsOf(value: unknown): Readonly<Record<string, string>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return {}
  return Object.fromEntries(Object.entries(value).map(([key, label]) => [key, typeof label === 'string' ? label : '']))
}
