import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CallOptions, ChannelCredentials, Client, ServiceError } from '@grpc/grpc-js'
import { GRPC_STATUS_NAMES, GrpcStatus } from '../../base/grpc-status.ts'
import { lazyTls } from '../../base/lazy-modules.ts'
import { WireReader } from '../../config/wire-reader.ts'
import { AgentError } from '../agent-error.ts'
import { loadedGrpc, loadGrpc } from '../grpc.ts'
import { Logger, log } from '../log.ts'
import type { IdentityMetrics } from './metrics.ts'
import { bytesField, message, numberField } from './proto-fields.ts'

export interface CaClientOptions {
  /** `host:port` */
  readonly address: string
  /** Name to expect in the CA's certificate; '' = the host. */
  readonly san: string
  /** PEM file of roots; '' = the system's; undefined = plaintext. */
  readonly rootFile: string | undefined
  /** Folder with key.pem and cert-chain.pem to show to the CA; '' = none. */
  readonly provisionedFolder: string
  readonly clusterId: string
  readonly certSigner: string
  readonly headers: readonly (readonly [string, string])[]
  /** '' = no authorization header. Called for every attempt. */
  readonly token: () => string
  readonly metrics: IdentityMetrics
}

/** Signs certificate requests; a test may give the secret manager another. */
export interface CaClient {
  /** The chain in PEM, leaf first, root last, at least two. Rejects with Error. */
  sign(csrPem: string, ttlMs: number): Promise<string[]>
  close(): void
}

const METHOD = '/istio.v1.auth.IstioCertificateService/CreateCertificate'
/** istio pkg/security/retry.go: five attempts, waits of 100 ms × 2^n ± 10 %. */
const ATTEMPTS = 5
const FIRST_WAIT_MS = 100
const RETRIED: ReadonlySet<number> = new Set([
  GrpcStatus.Canceled,
  GrpcStatus.DeadlineExceeded,
  GrpcStatus.ResourceExhausted,
  GrpcStatus.Aborted,
  GrpcStatus.Internal,
  GrpcStatus.Unavailable,
])
/** Istio sets none; istiod itself gives a Kubernetes signer a minute. */
const DEADLINE_MS = 75_000
/** A chain is some kilobytes; a CA that sends more is none. */
const MAX_ANSWER_BYTES = 4 << 20

const citadel = new Logger('citadelclient')
const ca = new Logger('ca')

/**
 * istio.v1.auth.IstioCertificateService of istiod (or another CA that speaks it). One connection per request, made from
 * files read at that time: roots, client certificate and token change while the agent lives, and a request comes twice a day.
 */
export class IstioCaClient implements CaClient {
  readonly #options: CaClientOptions
  readonly #closing = new AbortController()

  constructor(options: CaClientOptions) {
    this.#options = options
  }

  async sign(csrPem: string, ttlMs: number): Promise<string[]> {
    const request = encodeRequest(csrPem, ttlMs, this.#options.certSigner)
    try {
      const chain = await this.#callWithRetries(request)
      if (chain.length <= 1) throw new Error('invalid empty CertChain')
      return chain
    } catch (error) {
      if (!this.#closing.signal.aborted) citadel.error(`failed to sign CSR: ${(error as Error).message}`)
      throw error
    }
  }

  close(): void {
    this.#closing.abort()
  }

  async #callWithRetries(request: Buffer): Promise<string[]> {
    await loadGrpc()
    const client = this.#connect()
    try {
      for (let attempt = 1; ; attempt++) {
        try {
          return await this.#call(client, request)
        } catch (error) {
          const { code, details } = error as ServiceError
          if (attempt >= ATTEMPTS || !RETRIED.has(code) || this.#closing.signal.aborted) {
            throw new Error(
              `create certificate: rpc error: code = ${codeName(code)} desc = ${details ?? String(error)}`,
            )
          }
        }
        const wait = FIRST_WAIT_MS * 2 ** (attempt - 1) * (0.9 + 0.2 * Math.random())
        ca.warn(`ca request failed, starting attempt ${attempt} in ${wait.toFixed(3)}ms`)
        this.#options.metrics.retried()
        await sleep(wait, undefined, { signal: this.#closing.signal })
      }
    } finally {
      client.close()
    }
  }

  #call(client: Client, request: Buffer): Promise<string[]> {
    const { token, clusterId, headers } = this.#options
    const metadata = new (loadedGrpc().Metadata)()
    metadata.set('ClusterID', clusterId)
    for (const [name, value] of headers) metadata.add(name, value)
    const bearer = token()
    if (bearer !== '') metadata.set('authorization', `Bearer ${bearer}`)
    const options: CallOptions = { deadline: Date.now() + DEADLINE_MS }
    const { signal } = this.#closing
    return new Promise((resolve, reject) => {
      const call = client.makeUnaryRequest(
        METHOD,
        identity,
        decodeChain,
        request,
        metadata,
        options,
        (error, chain) => {
          signal.removeEventListener('abort', cancel)
          if (error !== null) reject(error)
          else resolve(chain ?? [])
        },
      )
      // An agent that ends does not wait for a CA that is silent.
      const cancel = (): void => call.cancel()
      signal.addEventListener('abort', cancel)
      if (signal.aborted) cancel()
    })
  }

  #connect(): Client {
    const { address, rootFile, san } = this.#options
    const host = address.slice(0, address.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1')
    const { Client, credentials } = loadedGrpc()
    // A port forwarded to a developer's machine.
    const name = san !== '' ? san : host.includes('localhost') ? 'istiod.istio-system.svc' : host
    return new Client(address, rootFile === undefined ? credentials.createInsecure() : this.#tls(rootFile, name), {
      'grpc.max_receive_message_length': MAX_ANSWER_BYTES,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
      'grpc.initial_reconnect_backoff_ms': FIRST_WAIT_MS,
      'grpc.max_reconnect_backoff_ms': 1000,
      // An IP address is no server name (RFC 6066, 3); what is verified is in #tls.
      ...(rootFile === undefined
        ? {}
        : { 'grpc.ssl_target_name_override': isIP(name) === 0 ? name : 'istiod.istio-system.svc' }),
    })
  }

  #tls(rootFile: string, name: string): ChannelCredentials {
    let root: Buffer | null = null
    if (rootFile !== '') {
      try {
        root = readFileSync(rootFile)
      } catch (error) {
        throw new AgentError(`cannot read the root certificates of the CA: ${(error as Error).message}`)
      }
    }
    const own = this.#clientCertificate()
    return loadedGrpc().credentials.createSsl(root, own?.key ?? null, own?.chain ?? null, {
      checkServerIdentity: (_, certificate) => lazyTls().checkServerIdentity(name, certificate),
    })
  }

  /** A certificate that has expired is not shown: the token may still be good. */
  #clientCertificate(): { key: Buffer; chain: Buffer } | undefined {
    const folder = this.#options.provisionedFolder
    if (folder === '') return undefined
    try {
      const chain = readFileSync(`${folder}/cert-chain.pem`)
      if (new X509Certificate(chain).validToDate.getTime() < Date.now()) {
        log.warn('cert expired, using token instead')
        return undefined
      }
      return { key: readFileSync(`${folder}/key.pem`), chain }
    } catch (error) {
      log.warn(`cannot parse the cert chain, using token instead: ${(error as Error).message}`)
      return undefined
    }
  }
}

/** IstioCertificateRequest {csr = 1, validity_duration = 3 (seconds), metadata = 4 (Struct)}. */
function encodeRequest(csrPem: string, ttlMs: number, signer: string): Buffer {
  // Struct {fields = 1: map entry {key = 1, value = 2}}, Value {string_value = 3}
  const value = bytesField(3, signer)
  const metadata = bytesField(1, message(bytesField(1, 'CertSigner'), bytesField(2, value)))
  return message(bytesField(1, csrPem), numberField(3, Math.floor(ttlMs / 1000)), bytesField(4, metadata))
}

/** IstioCertificateResponse {repeated string cert_chain = 1}. */
function decodeChain(bytes: Buffer): string[] {
  const reader = new WireReader(bytes)
  const chain: string[] = []
  while (reader.at < reader.end) {
    const tag = reader.uint32()
    if (tag === 0x0a) {
      const end = reader.delimited()
      chain.push(bytes.toString('utf8', reader.at, end))
      reader.at = end
    } else reader.skip(tag & 7)
  }
  return chain
}

function identity(bytes: Buffer): Buffer {
  return bytes
}

function codeName(code: number | undefined): string {
  return GRPC_STATUS_NAMES[code ?? -1] ?? 'Unknown'
}
