import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js'
import { bytesField, message } from '../../src/agent/identity/proto-fields.ts'
import { WireReader } from '../../src/config/wire-reader.ts'
import { type ReadRequest, readCertificateRequest } from './certificate-request.ts'
import { bytesMethod } from './grpc-bytes.ts'
import type { CertificateAuthority } from './toy-ca.ts'

/** One call of CreateCertificate, as it came. */
export interface SigningRequest {
  /** Bearer token; '' = none. */
  readonly token: string
  readonly clusterId: string
  readonly header: (name: string) => string
  readonly certSigner: string
  readonly ttlSeconds: number
  readonly uris: readonly string[]
  /** SubjectPublicKeyInfo in DER, base64: tells keys apart. */
  readonly publicKey: string
  readonly keyType: string
  /** Names in the client's own certificate; '' = it showed none. */
  readonly peer: string
}

export interface CaServerOptions {
  readonly authority: CertificateAuthority
  /** The identity to certify, or undefined: UNAUTHENTICATED. Without it the request gets the name it asks for. */
  readonly authenticate?: (request: SigningRequest) => string | undefined
  /** Lifetime instead of the one asked for. */
  readonly ttlMs?: number
  /** Only clients with a certificate of this authority (PROV_CERT) may ask. */
  readonly clientCertificates?: boolean
}

const SERVICE: ServiceDefinition = {
  CreateCertificate: bytesMethod('/istio.v1.auth.IstioCertificateService/CreateCertificate', false, false),
}

/** istio.v1.auth.IstioCertificateService, istiod's CA as the agent sees it, over TLS. */
export class CaServer {
  /** Every call since the start. */
  readonly requests: SigningRequest[] = []
  /** Signs from now on: give it another to change the root. */
  authority: CertificateAuthority
  /** Answers every call with this status instead. */
  failure: { readonly code: status; readonly details: string } | null = null
  /** istiod's chain ends in the root; false leaves it out. */
  rootIncluded = true
  readonly #options: CaServerOptions
  #server: Server | null = null

  constructor(options: CaServerOptions) {
    this.#options = options
    this.authority = options.authority
  }

  /** Serves on a server that has other services too: istiod's CA is on the port of its xDS. */
  addTo(server: Server): void {
    server.addService(SERVICE, {
      CreateCertificate: (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) =>
        this.#create(call, answer),
    })
  }

  /** Resolves to the port. `host:0` is any. The server's own certificate is for these names. */
  async listen(address: string, dnsNames: readonly string[]): Promise<number> {
    const own = this.authority.identity({ dnsNames, addresses: ['127.0.0.1'], ttlMs: 3_600_000 })
    const server = new Server()
    this.addTo(server)
    this.#server = server
    const pair = { private_key: Buffer.from(own.key), cert_chain: Buffer.from(own.chain) }
    const credentials = ServerCredentials.createSsl(
      Buffer.from(this.authority.rootPem),
      [pair],
      this.#options.clientCertificates ?? false,
    )
    return await new Promise((resolve, reject) => {
      server.bindAsync(address, credentials, (error, port) => (error === null ? resolve(port) : reject(error)))
    })
  }

  close(): void {
    this.#server?.forceShutdown()
    this.#server = null
  }

  #create(call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>): void {
    const header = (name: string): string => String(call.metadata.get(name)[0] ?? '')
    const { csr, ttlSeconds, certSigner } = decodeRequest(call.request)
    let read: ReadRequest
    try {
      read = readCertificateRequest(csr)
    } catch (error) {
      answer({ code: status.INVALID_ARGUMENT, details: `CSR: ${(error as Error).message}` })
      return
    }
    const request: SigningRequest = {
      token: header('authorization').replace(/^Bearer /, ''),
      clusterId: header('clusterid'),
      header,
      certSigner,
      ttlSeconds,
      uris: read.uris,
      publicKey: read.publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
      keyType: read.publicKey.asymmetricKeyType ?? '',
      peer: peerNames(call),
    }
    this.requests.push(request)
    if (this.failure !== null) {
      answer(this.failure)
      return
    }
    const { authenticate, ttlMs } = this.#options
    const uri = authenticate === undefined ? read.uris[0] : authenticate(request)
    if (uri === undefined) {
      answer({ code: status.UNAUTHENTICATED, details: 'request authenticate failure' })
      return
    }
    const leaf = this.authority.issue({ publicKey: read.publicKey, uris: [uri], ttlMs: ttlMs ?? ttlSeconds * 1000 })
    // IstioCertificateResponse {cert_chain = 1}
    answer(null, message(bytesField(1, leaf), ...(this.rootIncluded ? [bytesField(1, this.authority.rootPem)] : [])))
  }
}

/** IstioCertificateRequest {csr = 1, validity_duration = 3, metadata = 4}. */
function decodeRequest(bytes: Buffer): { csr: string; ttlSeconds: number; certSigner: string } {
  const reader = new WireReader(bytes)
  let csr = ''
  let ttlSeconds = 0
  let certSigner = ''
  while (reader.at < reader.end) {
    const tag = reader.uint32()
    if (tag === 0x18) ttlSeconds = Number(reader.varint())
    else if (tag === 0x0a || tag === 0x22) {
      const end = reader.delimited()
      const part = bytes.subarray(reader.at, end)
      reader.at = end
      if (tag === 0x0a) csr = part.toString('utf8')
      else certSigner = signerOf(part)
    } else reader.skip(tag & 7)
  }
  return { csr, ttlSeconds, certSigner }
}

/** Struct {fields = 1 {key = 1, value = 2 {string_value = 3}}} with one field, CertSigner. */
function signerOf(struct: Buffer): string {
  let part = struct
  for (const wanted of [0x0a, 0x12, 0x1a]) {
    const reader = new WireReader(part)
    let found = Buffer.alloc(0)
    while (reader.at < reader.end) {
      const tag = reader.uint32()
      if ((tag & 7) !== 2) {
        reader.skip(tag & 7)
        continue
      }
      const end = reader.delimited()
      if (tag === wanted) found = part.subarray(reader.at, end) as Buffer<ArrayBuffer>
      reader.at = end
    }
    part = found
  }
  return part.toString('utf8')
}

function peerNames(call: ServerUnaryCall<Buffer, Buffer>): string {
  return (call.getAuthContext().sslPeerCertificate as { subjectaltname?: string } | undefined)?.subjectaltname ?? ''
}
