import { Server, ServerCredentials, type ServerDuplexStream, status } from '@grpc/grpc-js'
import { DELTA, type RelayProtocol, STATE_OF_THE_WORLD } from '../../src/agent/xds-relay/protocol.ts'
import { decodeMessage, encodeAny, encodeMessage } from '../../src/config/binary.ts'
import { decodeDeltaRequest } from '../../src/xds/delta-wire.ts'
import { decodeAny, decodeRequest } from '../../src/xds/discovery-wire.ts'
import { bytesMethod } from '../harness/grpc-bytes.ts'
import { hasPush, type PushName, type PushType, pushBytes, withoutNotYet } from '../harness/istio-pushes.ts'
import type { CertificateAuthority } from '../harness/toy-ca.ts'
import { CaServer } from '../harness/toy-ca-server.ts'
import { identityOf, withOwnKey } from './tokens.ts'

export interface ControlPlaneOptions {
  readonly authority: CertificateAuthority
  /** Pod name → what it is sent. */
  readonly pushes: ReadonlyMap<string, PushName>
  /** Lifetime of workload certificates; default as asked for. */
  readonly certificateTtlMs?: number
  /** TLS secrets of gateways, by resource name, as the JSON shape of Secret. */
  readonly secrets?: ReadonlyMap<string, object>
  /** Clients show a certificate of the authority instead of a token. */
  readonly clientCertificates?: boolean
}

interface Asked {
  readonly pod: string
  readonly type: string
  readonly names: readonly string[]
  readonly nonce: string
  readonly error: string | null
}

const SHORT: Readonly<Record<string, PushType | 'SDS'>> = {
  'envoy.config.cluster.v3.Cluster': 'CDS',
  'envoy.config.endpoint.v3.ClusterLoadAssignment': 'EDS',
  'envoy.config.listener.v3.Listener': 'LDS',
  'envoy.config.route.v3.RouteConfiguration': 'RDS',
  'istio.networking.nds.v1.NameTable': 'NDS',
  'istio.workload.Workload': 'WDS',
  'envoy.extensions.transport_sockets.tls.v3.Secret': 'SDS',
}
const SECRET = 'envoy.extensions.transport_sockets.tls.v3.Secret'

/**
 * istiod as a replay: every subscription is answered with the bytes that a real one sent, over TLS, to who shows a token of the
 * cluster (or a certificate), on the port that serves the CA as well. Two things are not as recorded: what `NOT_YET` lists is taken
 * out of listeners, and the token issuer's key is the tests' own (tokens.ts).
 */
export class ReplayedControlPlane {
  readonly ca: CaServer
  /** Every request since the start. */
  readonly asked: Asked[] = []
  /** Identities of the streams, in the order of their opening. */
  readonly clients: string[] = []
  /** `POD TYPE: reason` of every NACK. */
  readonly rejected: string[] = []
  readonly #options: ControlPlaneOptions
  readonly #server = new Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 })
  /** Type → what is to be sent once it is released. */
  readonly #held = new Map<string, (() => void)[]>()
  readonly #streams = new Set<ReplayStream>()

  constructor(options: ControlPlaneOptions) {
    this.#options = options
    const ttl = options.certificateTtlMs
    this.ca = new CaServer({
      authority: options.authority,
      authenticate: ({ token, peer }) => (options.clientCertificates === true ? uriOf(peer) : identityOf(token)),
      ...(ttl === undefined ? {} : { ttlMs: ttl }),
    })
    this.ca.addTo(this.#server)
    this.#server.addService(
      { delta: bytesMethod(DELTA.method, true, true), sotw: bytesMethod(STATE_OF_THE_WORLD.method, true, true) },
      {
        delta: (stream: Duplex) => this.#accept(stream, DELTA),
        sotw: (stream: Duplex) => this.#accept(stream, STATE_OF_THE_WORLD),
      },
    )
  }

  /** `host:port`; the certificate is for that address and for istiod's names. */
  listen(host: string, port: number): Promise<void> {
    const { authority, clientCertificates = false } = this.#options
    const own = authority.identity({ dnsNames: ['istiod.istio-system.svc'], addresses: [host], ttlMs: 3_600_000 })
    const pair = { private_key: Buffer.from(own.key), cert_chain: Buffer.from(own.chain) }
    const credentials = ServerCredentials.createSsl(Buffer.from(authority.rootPem), [pair], clientCertificates)
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(`${host}:${port}`, credentials, error => (error === null ? resolve() : reject(error)))
    })
  }

  close(): void {
    this.#server.forceShutdown()
  }

  /** Answers of this type wait until they are released. */
  hold(type: PushType): void {
    this.#held.set(type, [])
  }

  release(type: PushType): void {
    const waiting = this.#held.get(type) ?? []
    this.#held.delete(type)
    for (const answer of waiting) answer()
  }

  /** istiod goes away: streams end, as when it is restarted. */
  dropStreams(): void {
    for (const stream of this.#streams) stream.end()
  }

  #accept(stream: Duplex, protocol: RelayProtocol): void {
    const client = this.#identify(stream)
    if (client === undefined) {
      stream.emit('error', { code: status.UNAUTHENTICATED, details: 'authentication failure' })
      return
    }
    this.clients.push(client)
    const replay = new ReplayStream(stream, protocol)
    this.#streams.add(replay)
    const gone = (): void => void this.#streams.delete(replay)
    stream.on('cancelled', gone)
    stream.on('error', gone)
    stream.on('end', () => replay.end())
    stream.on('data', (bytes: Buffer) => this.#heard(replay, replay.read(bytes)))
  }

  #identify(stream: Duplex): string | undefined {
    if (this.#options.clientCertificates === true) {
      const { sslPeerCertificate } = stream.getAuthContext()
      return uriOf((sslPeerCertificate as { subjectaltname?: string }).subjectaltname ?? '')
    }
    return identityOf(String(stream.metadata.get('authorization')[0] ?? '').replace(/^Bearer /, ''))
  }

  #heard(stream: ReplayStream, asked: Asked & { readonly isNew: boolean }): void {
    const { pod, type, names, error, isNew } = asked
    this.asked.push(asked)
    if (error !== null) this.rejected.push(`${pod} ${type}: ${error}`)
    const push = this.#options.pushes.get(pod)
    if (!isNew || push === undefined) return
    if (type === 'SDS') {
      for (const name of names) this.#sendSecret(stream, name)
      return
    }
    // Types that this istiod had nothing for stay without an answer, as there.
    if (!Object.values(SHORT).includes(type as PushType) || !hasPush(push, type as PushType)) return
    const answer = (): void => stream.send(replayed(push, type as PushType, stream.protocol))
    const held = this.#held.get(type)
    if (held === undefined) answer()
    else held.push(answer)
  }

  #sendSecret(stream: ReplayStream, name: string): void {
    const secret = this.#options.secrets?.get(name)
    if (secret === undefined) return
    const any = { type_url: `type.googleapis.com/${SECRET}`, value: encodeMessage(SECRET, { name, ...secret }) }
    const response = { type_url: any.type_url, nonce: `${name} 1` }
    stream.send(
      stream.protocol.isDelta
        ? encodeMessage('envoy.service.discovery.v3.DeltaDiscoveryResponse', {
            ...response,
            resources: [{ name, version: '1', resource: any }],
          })
        : encodeMessage('envoy.service.discovery.v3.DiscoveryResponse', {
            ...response,
            version_info: '1',
            resources: [any],
          }),
    )
  }
}

function uriOf(names: string): string | undefined {
  return /URI:([^,]+)/.exec(names)?.[1]
}

type Duplex = ServerDuplexStream<Buffer, Buffer>

/** What one stream has asked for so far. */
class ReplayStream {
  readonly protocol: RelayProtocol
  readonly #stream: Duplex
  readonly #names = new Map<string, Set<string>>()
  #pod = ''

  constructor(stream: Duplex, protocol: RelayProtocol) {
    this.#stream = stream
    this.protocol = protocol
  }

  send(bytes: Uint8Array): void {
    this.#stream.write(Buffer.from(bytes))
  }

  end(): void {
    this.#stream.end()
  }

  /** `isNew`: names are subscribed to that were not, or everything of a type for the first time. */
  read(bytes: Buffer): Asked & { readonly isNew: boolean } {
    const { isDelta } = this.protocol
    const request = isDelta ? decodeDeltaRequest(bytes) : decodeRequest(bytes)
    const wanted = 'subscribe' in request ? request.subscribe : request.names
    const { node, typeUrl, nonce, error } = request
    if (node !== null) {
      const { message } = decodeMessage<{ id: string }>('envoy.config.core.v3.Node', node)
      this.#pod = message.id.split('~')[2]!.replace(/\..*$/, '')
    }
    const type = SHORT[typeUrl.slice(typeUrl.indexOf('/') + 1)] ?? typeUrl
    const known = this.#names.get(type)
    const names = wanted.filter(name => known?.has(name) !== true)
    this.#names.set(type, new Set([...(known ?? []), ...wanted]))
    return { pod: this.#pod, type, names, nonce, error, isNew: known === undefined || names.length > 0 }
  }
}

const replays = new Map<string, Buffer>()

/** The recorded bytes; only a resource that holds something of NOT_YET is written anew. */
export function replayed(push: PushName, type: PushType, protocol: RelayProtocol): Uint8Array {
  const key = `${push} ${type}`
  let bytes = replays.get(key)
  if (bytes === undefined) {
    const recorded = withOwnKey(pushBytes(push, type))
    bytes = type === 'LDS' ? Buffer.from(protocol.replaceResources(recorded, strip)) : recorded
    replays.set(key, bytes)
  }
  return bytes
}

function strip(any: Uint8Array): Uint8Array | null {
  const { typeUrl, bytes } = decodeAny(any)
  const { message } = decodeMessage(typeUrl.slice(typeUrl.indexOf('/') + 1), bytes)
  const kept = withoutNotYet(message) as object
  return kept === message ? null : encodeAny({ type_url: typeUrl, message: kept })
}
