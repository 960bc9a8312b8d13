import type { GrpcCallUser, GrpcClient, PendingCall } from '../../../config/services.ts'
import { WireError } from '../../../config/wire-reader.ts'
import { WireWriter } from '../../../config/wire-writer.ts'
import type { HttpFilterServices } from '../../filter-factory.ts'
import { AuthzAnswer, type AuthzUser } from './answer.ts'
import { labelsOf, metadata, stringMap, textField, writePeers, writeTlsSession } from './check-attributes.ts'
import { readCheckResponse } from './check-response.ts'
import type { ExtAuthzConfig, GrpcAuthzConfig } from './config.ts'
import type { CheckSubject, HeaderSelection } from './subject.ts'

export const CHECK_METHOD = '/envoy.service.auth.v3.Authorization/Check'

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
    return this.#client.call(CHECK_METHOD, this.#encode(subject), this.#timeout, new GrpcCheck(user), subject.stream)
  }

  #encode(subject: CheckSubject): Uint8Array {
    const w = new WireWriter()
    const { stream: s, extensions } = subject
    const connection = s.info.connection!
    const { metadataNamespaces, routeMetadataNamespaces } = this.#filter
    w.messageField(1, () => {
      const service = s.requestHeaders!.get('x-envoy-downstream-service-cluster') ?? ''
      writePeers(w, connection, service, '', this.#labels, this.#filter)
      w.messageField(4, () => {
        time(w, s.info.startWall)
        w.messageField(2, () => this.#request(w, subject))
      })
      stringMap(w, 10, extensions)
      w.messageField(11, () => {
        const own = connection.streamInfo?.dynamicMetadata ?? null
        metadata(w, metadataNamespaces, s.info.dynamicMetadata, own)
      })
      writeTlsSession(w, connection, this.#filter)
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

export class GrpcCheck implements GrpcCallUser {
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

function time(w: WireWriter, wall: number): void {
  w.messageField(1, () => {
    w.uintField(1, Math.floor(wall / 1000))
    w.uintField(2, Math.floor((wall % 1000) * 1e6))
  })
}
