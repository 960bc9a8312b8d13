import { randomUUID } from 'node:crypto'
import { mkdirSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import type { ServerDuplexStream, ServiceDefinition } from '@grpc/grpc-js'
import { GrpcStatus } from '../base/grpc-status.ts'
import { decodeRequest } from '../xds/discovery-wire.ts'
import { AgentError } from './agent-error.ts'
import { GrpcSocket } from './grpc-socket.ts'
import type { Secret } from './identity/secret.ts'
import { log as agentLog, Logger } from './log.ts'
import { encodeSecrets, SECRET_TYPE } from './sds-secret.ts'

/** Where secrets come from; rejects with the reason. */
export interface SecretSource {
  get(name: string): Promise<Secret>
}

type Stream = ServerDuplexStream<Buffer, Buffer>

const log = new Logger('sds')
/** Waits of 1, 2, 4 and 8 seconds between them. */
const MAX_ATTEMPTS = 5
const FIRST_WAIT_MS = 1000
const MAX_STREAMS = 100_000
/** Of one request: a proxy asks for one name per stream. */
const MAX_NAMES = 1000
const MAX_REQUEST_BYTES = 1 << 20

/** State of the world only: istiod never tells a proxy to ask for secrets by delta, so Istio's agent has no other method either. */
const SERVICE: ServiceDefinition = {
  StreamSecrets: {
    path: '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets',
    requestStream: true,
    responseStream: true,
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  },
}

/** envoy.service.secret.v3.SecretDiscoveryService for the proxies of this pod, on a Unix socket. */
export class SdsServer {
  readonly #server = new GrpcSocket({
    options: { 'grpc.max_concurrent_streams': MAX_STREAMS, 'grpc.max_receive_message_length': MAX_REQUEST_BYTES },
    service: SERVICE,
    handlers: { StreamSecrets: (stream: Stream) => this.#open(stream) },
  })
  readonly #source: SecretSource
  readonly #sessions = new Set<SecretSession>()
  #path = ''
  #closed = false

  constructor(source: SecretSource) {
    this.#source = source
  }

  /**
   * Serves on that path. A first attempt that fails is told and followed by four more, in the background: a proxy without
   * certificates is of use, so the agent goes on (istio security/pkg/nodeagent/sds/server.go).
   */
  async start(path: string, what: string): Promise<void> {
    log.info('Starting SDS grpc server')
    await this.#attempt(path, what, 1)
  }

  async #attempt(path: string, what: string, attempt: number): Promise<void> {
    try {
      await this.listen(path, what)
    } catch (error) {
      if (this.#closed) return
      log.error((error as Error).message)
      if (attempt === MAX_ATTEMPTS) {
        log.warn('SDS grpc server could not be started')
        return
      }
      setTimeout(() => void this.#attempt(path, what, attempt + 1), FIRST_WAIT_MS * 2 ** (attempt - 1)).unref()
    }
  }

  /**
   * Replaces what is at that path. Every user may connect (mode 0666), because the proxy need not be the agent's; who may
   * is decided by the folder, which is made when it is missing (0750). Rejects with AgentError.
   */
  async listen(path: string, what: string): Promise<void> {
    try {
      rmSync(path, { force: true })
    } catch (error) {
      throw new AgentError(`failed to remove unix://${path}: ${(error as Error).message}`)
    }
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o750 })
    } catch (error) {
      agentLog.warn(`Failed to create directory for ${path}: ${(error as Error).message}`)
    }
    log.info(`Starting SDS server for ${what}, will listen on "${path}"`)
    try {
      await this.#server.listen(path)
    } catch (error) {
      throw new AgentError(`SDS grpc server for workload proxies failed to set up UDS: ${(error as Error).message}`)
    }
    this.#path = path
    if (this.#closed) this.close()
  }

  /** Sends a secret to whoever has asked for it. */
  push(name: string): void {
    log.debug(`Trigger on secret update, resource name: ${name}`)
    for (const session of this.#sessions) session.push(name)
  }

  close(): void {
    this.#closed = true
    this.#server.close()
    if (this.#path !== '') rmSync(this.#path, { force: true })
  }

  #open(stream: Stream): void {
    const session = new SecretSession(stream, this.#source)
    this.#sessions.add(session)
    const over = (): void => {
      session.over = true
      this.#sessions.delete(session)
    }
    stream.on('end', () => {
      over()
      stream.end()
    })
    stream.on('cancelled', over)
    stream.on('error', over)
    stream.on('close', over)
  }
}

let counter = 0

/** One stream; what it asks for is answered in order, one at a time (istio pkg/xds/server.go, ShouldRespond). */
class SecretSession {
  over = false
  readonly #stream: Stream
  readonly #source: SecretSource
  #names: ReadonlySet<string> = new Set()
  #nonce = ''
  #busy = false
  /** Names whose contents changed while an answer was being made. */
  readonly #due = new Set<string>()

  constructor(stream: Stream, source: SecretSource) {
    this.#stream = stream
    this.#source = source
    stream.on('data', (bytes: Buffer) => void this.#onRequest(bytes))
  }

  push(name: string): void {
    if (!this.#names.has(name)) return
    this.#due.add(name)
    void this.#sendDue()
  }

  async #onRequest(bytes: Buffer): Promise<void> {
    const names = this.#toSend(bytes)
    for (const name of names) this.#due.add(name)
    await this.#sendDue()
  }

  /** Which names the request wants contents of; an acknowledgement wants none. */
  #toSend(bytes: Buffer): readonly string[] {
    let request: ReturnType<typeof decodeRequest>
    try {
      request = decodeRequest(bytes)
    } catch (error) {
      this.#fail(GrpcStatus.InvalidArgument, `malformed DiscoveryRequest: ${(error as Error).message}`)
      return []
    }
    if (request.names.length > MAX_NAMES) {
      this.#fail(GrpcStatus.InvalidArgument, `more than ${MAX_NAMES} names in a request`)
      return []
    }
    if (request.typeUrl !== '' && request.typeUrl !== SECRET_TYPE) {
      this.#fail(GrpcStatus.InvalidArgument, `type ${request.typeUrl} is not served here`)
      return []
    }
    if (request.error !== null) {
      log.warn(`ADS:SDS: ACK ERROR ${request.error}`)
      return []
    }
    const names = new Set(request.names)
    if (names.size === 0) {
      this.#names = names
      return []
    }
    if (request.nonce === '' || this.#names.size === 0) {
      this.#names = names
      return [...names]
    }
    // Answers a response that another has followed.
    if (request.nonce !== this.#nonce) return []
    const added = [...names].filter(name => !this.#names.has(name))
    this.#names = names
    return added
  }

  async #sendDue(): Promise<void> {
    if (this.#busy) return
    this.#busy = true
    // No further request is read meanwhile: a client that only asks fills its own buffers.
    this.#stream.pause()
    try {
      while (this.#due.size > 0 && !this.over) {
        const names = [...this.#due]
        this.#due.clear()
        await this.#send(names)
      }
    } finally {
      this.#busy = false
      if (!this.over) this.#stream.resume()
    }
  }

  async #send(names: readonly string[]): Promise<void> {
    const secrets: [string, Secret][] = []
    for (const name of names) {
      try {
        secrets.push([name, await this.#source.get(name)])
      } catch (error) {
        // The proxy asks again, with back-off: what failed is mostly the way to the CA.
        this.#fail(GrpcStatus.Unknown, `failed to generate secret for ${name}: ${(error as Error).message}`)
        return
      }
    }
    if (this.over) return
    this.#nonce = randomUUID()
    const version = `${new Date().toISOString().slice(0, 19)}Z/${++counter}`
    if (!this.#stream.write(encodeSecrets(version, this.#nonce, secrets))) await drained(this.#stream)
  }

  #fail(code: number, details: string): void {
    if (this.over) return
    this.over = true
    log.warn(details)
    this.#stream.emit('error', { code, details })
  }
}

function drained(stream: Stream): Promise<void> {
  return new Promise(resolve => {
    const go = (): void => {
      for (const event of ['drain', 'close', 'error', 'cancelled']) stream.off(event, go)
      resolve()
    }
    for (const event of ['drain', 'close', 'error', 'cancelled']) stream.on(event, go)
  })
}

function identity(bytes: Buffer): Buffer {
  return bytes
}
