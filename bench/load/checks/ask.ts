import { readFileSync } from 'node:fs'
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { request as requestHttps } from 'node:https'
import type { TLSSocket } from 'node:tls'

/** Paths of PEM files. */
export interface ClientFiles {
  readonly cert: string
  readonly key: string
}

export interface Question {
  readonly port: number
  readonly path: string
  readonly host: string
  readonly protocol: 'http1' | 'http2'
  readonly tls: boolean
  /** SNI, '' for none; the host of the bench's configurations by default. */
  readonly serverName?: string
  readonly client: ClientFiles | null
  readonly headers?: Readonly<Record<string, string>>
  readonly method?: string
  readonly body?: Buffer
  readonly timeoutSeconds?: number
}

export interface Answer {
  /** 0 = no answer; `error` says why. */
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly trailers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
  readonly seconds: number
  /** SHA-256 fingerprint of the certificate that was shown. */
  readonly fingerprint: string | null
  readonly error: string
}

/** One request on a connection of its own. Never throws. */
export function ask(question: Question): Promise<Answer> {
  return question.protocol === 'http1' ? askHttp1(question) : askHttp2(question)
}

function tlsOptions(question: Question): object {
  if (!question.tls) return {}
  const own =
    question.client === null ? {} : { cert: readFileSync(question.client.cert), key: readFileSync(question.client.key) }
  return { ...own, rejectUnauthorized: false, servername: question.serverName ?? 'bench.test' }
}

function askHttp1(question: Question): Promise<Answer> {
  const started = performance.now()
  return new Promise(resolve => {
    const fail = (error: string): void => resolve({ ...NOTHING, error, seconds: (performance.now() - started) / 1000 })
    const options = {
      host: '127.0.0.1',
      port: question.port,
      path: question.path,
      method: question.method ?? 'GET',
      headers: { host: question.host, ...question.headers },
      agent: false as const,
      timeout: (question.timeoutSeconds ?? 10) * 1000,
      ...tlsOptions(question),
    }
    const onResponse = (response: IncomingMessage): void => {
      const chunks: Buffer[] = []
      const fingerprint = question.tls ? (response.socket as TLSSocket).getPeerCertificate().fingerprint256 : null
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', error => fail(error.message))
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          trailers: response.trailers,
          body: Buffer.concat(chunks),
          seconds: (performance.now() - started) / 1000,
          fingerprint,
          error: '',
        }),
      )
    }
    const outgoing = question.tls ? requestHttps(options, onResponse) : requestHttp(options, onResponse)
    outgoing.on('error', error => fail(error.message))
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer in time')))
    outgoing.end(question.body)
  })
}

function askHttp2(question: Question): Promise<Answer> {
  const started = performance.now()
  return new Promise(resolve => {
    const session = connectHttp2(
      `${question.tls ? 'https' : 'http'}://127.0.0.1:${question.port}`,
      tlsOptions(question),
    )
    let settled = false
    const settle = (answer: Answer): void => {
      if (settled) return
      settled = true
      session.destroy()
      resolve(answer)
    }
    const fail = (error: string): void => settle({ ...NOTHING, error, seconds: (performance.now() - started) / 1000 })
    session.on('error', error => fail(error.message))
    const { body = NOTHING.body } = question
    const fields = {
      ':method': question.method ?? 'GET',
      ':path': question.path,
      ':authority': question.host,
      ...question.headers,
    }
    // Said each time: by itself Node ends GET, HEAD and DELETE with their head, and takes no body then.
    const stream = session.request(fields, { endStream: body.length === 0 })
    stream.setTimeout((question.timeoutSeconds ?? 10) * 1000, () => fail('no answer in time'))
    let headers: Answer['headers'] = {}
    let trailers: Answer['trailers'] = {}
    const chunks: Buffer[] = []
    stream.on('response', incoming => {
      headers = incoming
    })
    stream.on('trailers', incoming => {
      trailers = incoming
    })
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('error', error => fail(error.message))
    stream.on('close', () =>
      settle({
        status: Number(headers[':status'] ?? 0),
        headers,
        trailers,
        body: Buffer.concat(chunks),
        seconds: (performance.now() - started) / 1000,
        fingerprint: question.tls ? (session.socket as TLSSocket).getPeerCertificate().fingerprint256 : null,
        error: headers[':status'] === undefined ? 'the stream was closed without an answer' : '',
      }),
    )
    if (body.length > 0) stream.end(body)
  })
}

const NOTHING: Answer = {
  status: 0,
  headers: {},
  trailers: {},
  body: Buffer.alloc(0),
  seconds: 0,
  fingerprint: null,
  error: '',
}

/** GET on an admin port: the body, or null when there is no 200. */
export async function admin(port: number, path: string): Promise<string | null> {
  const answer = await ask({
    port,
    path,
    host: 'admin',
    protocol: 'http1',
    tls: false,
    client: null,
    timeoutSeconds: 30,
  })
  return answer.status === 200 ? answer.body.toString('utf8') : null
}

/** Counters and gauges of an admin port, by name. */
export async function stats(port: number): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>()
  for (const line of ((await admin(port, '/stats')) ?? '').split('\n')) {
    const match = /^(.+): (\d+)$/.exec(line)
    if (match !== null) found.set(match[1]!, Number(match[2]))
  }
  return found
}
