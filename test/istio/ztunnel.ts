import { request } from 'node:http'
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  createSecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2'
import type { Duplex } from 'node:stream'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import type { CertificateAuthority } from '../harness/toy-ca.ts'
import { type Pod, type Reply, replyTo } from './pod.ts'

/** Where HBONE is spoken. */
const HBONE_PORT = 15008

export interface Tunnel {
  /** `:status` of the answer to CONNECT. */
  readonly status: number
  readonly stream: Duplex
  readonly headers: IncomingHttpHeaders
}

/**
 * What the ztunnel of a node does for a pod without a sidecar: its connections leave by CONNECT over mutual TLS, from the pod's own
 * address and with the identity of its service account, and such connections end here.
 */
export class Ztunnel {
  /** Of every tunnel that ended here. */
  readonly tunnels: { readonly authority: string; readonly identity: string; readonly headers: IncomingHttpHeaders }[] =
    []
  readonly #pod: Pod
  readonly #baggage: Readonly<Record<string, string>>
  readonly #keys: { readonly key: string; readonly cert: string; readonly ca: string }
  #session: ClientHttp2Session | undefined

  /** `baggage`: what it says of its pod, to both sides. `trusted`: who vouches for others, when not who vouches for it. */
  constructor(
    pod: Pod,
    account: string,
    authority: CertificateAuthority,
    { baggage, trusted = authority }: { baggage?: string; trusted?: CertificateAuthority } = {},
  ) {
    const uri = `spiffe://cluster.local/ns/demo/sa/${account}`
    const { key, chain } = authority.identity({ uris: [uri], ttlMs: 3_600_000 })
    this.#pod = pod
    this.#baggage = baggage === undefined ? {} : { baggage }
    this.#keys = { key, cert: chain, ca: trusted.rootPem }
  }

  /** A connection of the pod to `authority`, an address and port, by way of the proxy at `via`. */
  open(via: string, authority: string): Promise<Tunnel> {
    this.#session ??= this.#connect(via)
    const stream = this.#session.request({ ':method': 'CONNECT', ':authority': authority, ...this.#baggage })
    stream.on('error', () => {})
    return new Promise((resolve, reject) => {
      stream.on('response', answer => resolve({ status: answer[':status'] ?? 0, stream, headers: answer }))
      stream.on('close', () => reject(new Error(`no answer to CONNECT ${authority}: ${stream.rstCode}`)))
    })
  }

  /** SPIFFE identity that the proxy at the other end has shown; '' before the first tunnel. */
  get peer(): string {
    const socket = this.#session?.socket as TLSSocket | undefined
    return uriOf(socket?.getPeerCertificate().subjectaltname)
  }

  #connect(via: string): ClientHttp2Session {
    const socket = this.#pod.connect(via, HBONE_PORT)
    const secure = connectTls({ socket, ...this.#keys, ALPNProtocols: ['h2'], checkServerIdentity: () => undefined })
    secure.on('error', () => {})
    const session = connectHttp2('https://waypoint', { createConnection: () => secure })
    return session.on('error', () => {}).on('close', () => (this.#session = undefined))
  }

  close(): void {
    this.#session?.destroy()
  }

  /** Takes the tunnels to this pod: what comes out of one goes to the application at the port that was asked for. */
  listen(): void {
    const server = createSecureServer({ ...this.#keys, requestCert: true, rejectUnauthorized: true })
    server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders & { ':authority'?: string }) => {
      const socket = stream.session!.socket as TLSSocket
      const authority = headers[':authority'] ?? ''
      this.tunnels.push({ authority, identity: uriOf(socket.getPeerCertificate().subjectaltname), headers })
      const colon = authority.lastIndexOf(':')
      const inner = this.#pod.connect(authority.slice(0, colon), Number(authority.slice(colon + 1)))
      stream.on('error', () => inner.destroy())
      inner.on('error', () => stream.destroy())
      inner.on('connect', () => {
        stream.respond({ ':status': 200, ...this.#baggage })
        stream.pipe(inner).pipe(stream)
      })
    })
    this.#pod.serve(server, HBONE_PORT)
  }
}

function uriOf(names: string | undefined): string {
  return /URI:([^,]+)/.exec(names ?? '')?.[1] ?? ''
}

/** One HTTP/1.1 request through a tunnel of its own; the status of CONNECT when that was refused. */
export async function ask(
  ztunnel: Ztunnel,
  via: string,
  authority: string,
  path: string,
  more: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Reply> {
  const { method = 'GET', headers = {}, body } = more
  const { status, stream } = await ztunnel.open(via, authority)
  if (status !== 200) return { status, headers: {}, body: '' }
  const reply = await replyTo(request({ path, method, headers, createConnection: () => stream as never }), body)
  stream.end()
  return reply
}

/** An HTTP/2 connection without TLS inside of a tunnel. */
export async function http2Through(ztunnel: Ztunnel, via: string, authority: string): Promise<ClientHttp2Session> {
  const { stream } = await ztunnel.open(via, authority)
  return connectHttp2(`http://${authority}`, { createConnection: () => stream }).on('error', () => {})
}

/** What came back through a tunnel until the other side closed, after these bytes were sent. */
export async function exchange(ztunnel: Ztunnel, via: string, authority: string, text: string): Promise<string> {
  const { stream } = await ztunnel.open(via, authority)
  return await new Promise(resolve => {
    let got = ''
    stream.on('data', (chunk: Buffer) => {
      got += chunk.toString('latin1')
      if (got.length >= text.length) stream.end()
    })
    stream.on('close', () => resolve(got))
    if (text !== '') stream.write(text)
  })
}
