import { request as httpRequest } from 'node:http'
import { connect } from 'node:http2'
import { createInterface } from 'node:readline'
import {
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js'
import { ECHO_SERVICE, type Echo } from './echo-service.ts'

export type GrpcMethod = keyof typeof ECHO_SERVICE

/** One call the client application is to make. */
export interface ClientCall {
  readonly kind: 'http1' | 'http2' | 'grpc'
  readonly host: string
  readonly port: number
  /** Host header / :authority: the service as applications name it. */
  readonly authority: string
  /** HTTP path, or gRPC method name. */
  readonly path: string
  readonly requestId: string
  readonly headers?: Readonly<Record<string, string>>
  /** gRPC: messages to send (streams), or one and `count` answers. */
  readonly messages?: readonly Echo[]
}

export interface ClientResult {
  /** HTTP status or gRPC status code; absent when there was no answer at all. */
  readonly status?: number
  readonly body?: string
  /** gRPC answers. */
  readonly messages?: readonly Echo[]
  /** ECONNREFUSED, or a gRPC status text. */
  readonly error?: string
  readonly ms: number
}

const TIMEOUT_MS = 5000

/** Reads calls as JSON lines on stdin, makes them at once, writes results as JSON lines with the call's index. */
export function startClient(): void {
  let index = 0
  createInterface({ input: process.stdin })
    .on('line', async line => {
      const id = index++
      const started = performance.now()
      const result = await perform(JSON.parse(line) as ClientCall).catch((error: NodeJS.ErrnoException) => ({
        error: error.code ?? error.message,
      }))
      process.stdout.write(`${JSON.stringify({ id, ...result, ms: Math.round(performance.now() - started) })}\n`)
    })
    .on('close', () => process.exit(0))
}

type Outcome = Omit<ClientResult, 'ms'>

function perform(call: ClientCall): Promise<Outcome> {
  if (call.kind === 'http1') return http1(call)
  return call.kind === 'http2' ? http2(call) : grpc(call)
}

function http1(call: ClientCall): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      {
        host: call.host,
        port: call.port,
        path: call.path,
        agent: false,
        headers: { host: call.authority, 'x-request-id': call.requestId, ...call.headers },
        signal: AbortSignal.timeout(TIMEOUT_MS),
      },
      incoming => {
        let body = ''
        incoming.setEncoding('utf8').on('data', chunk => {
          body += chunk
        })
        incoming.on('error', reject)
        incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, body }))
      },
    )
    outgoing.on('error', reject)
    outgoing.end()
  })
}

function http2(call: ClientCall): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const session = connect(`http://${call.host}:${call.port}`)
    const fail = (error: Error): void => {
      session.destroy()
      reject(error)
    }
    session.setTimeout(TIMEOUT_MS, () => fail(new Error('timeout')))
    session.on('error', fail)
    const stream = session.request({
      ':path': call.path,
      ':authority': call.authority,
      'x-request-id': call.requestId,
      ...call.headers,
    })
    let body = ''
    let status = 0
    stream.on('response', headers => {
      status = headers[':status'] ?? 0
    })
    stream.setEncoding('utf8').on('data', chunk => {
      body += chunk
    })
    stream.on('error', fail)
    stream.on('end', () => {
      session.close()
      resolve({ status, body })
    })
    stream.end()
  })
}

const grpcClients = new Map<string, Client>()

function grpc(call: ClientCall): Promise<Outcome> {
  const address = `${call.host}:${call.port}`
  const key = `${address} ${call.authority}`
  const client =
    grpcClients.get(key) ??
    new Client(address, credentials.createInsecure(), { 'grpc.default_authority': call.authority })
  grpcClients.set(key, client)
  const definition = ECHO_SERVICE[call.path as GrpcMethod]
  const metadata = new Metadata()
  metadata.set('x-request-id', call.requestId)
  const sent = call.messages ?? []
  const received: Echo[] = []
  const { path, requestSerialize: encode, responseDeserialize: decode } = definition
  const options = { deadline: Date.now() + TIMEOUT_MS }
  return new Promise(resolve => {
    const done = (error: ServiceError | null, value?: Echo): void => {
      if (value !== undefined) received.push(value)
      if (error === null) resolve({ status: 0, messages: received })
      else resolve({ status: error.code, error: error.details, messages: received })
    }
    if (!definition.responseStream) {
      if (!definition.requestStream) {
        client.makeUnaryRequest(path, encode, decode, sent[0] as Echo, metadata, options, done)
        return
      }
      const call = client.makeClientStreamRequest(path, encode, decode, metadata, options, done)
      for (const message of sent) call.write(message)
      call.end()
      return
    }
    const listen = (stream: ClientReadableStream<Echo> | ClientDuplexStream<Echo, Echo>): void => {
      stream.on('data', (message: Echo) => received.push(message))
      stream.on('error', (error: ServiceError) => done(error))
      stream.on('status', status => {
        if (status.code === 0) done(null)
      })
    }
    if (!definition.requestStream) {
      listen(client.makeServerStreamRequest(path, encode, decode, sent[0] as Echo, metadata, options))
      return
    }
    const stream = client.makeBidiStreamRequest(path, encode, decode, metadata, options)
    listen(stream)
    for (const message of sent) stream.write(message)
    stream.end()
  })
}
