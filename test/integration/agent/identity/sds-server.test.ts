import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, type ClientDuplexStream, credentials, type ServiceError, status } from '@grpc/grpc-js'
import t from 'tap'
import type { Secret } from '../../../../src/agent/identity/secret.ts'
import { configureLog } from '../../../../src/agent/log.ts'
import { SdsServer } from '../../../../src/agent/sds-server.ts'
import { decodeMessage, encodeMessage } from '../../../../src/config/binary.ts'
import { decodeResponse } from '../../../../src/xds/discovery-wire.ts'
import { until } from '../../../harness/until.ts'

configureLog({ write: () => {} })

const TYPE = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret'
const SERVICE = '/envoy.service.secret.v3.SecretDiscoveryService'
const folder = mkdtempSync(join(tmpdir(), 'remora-sds-'))
const path = join(folder, 'deep/er/socket')

/** What the server is to serve; a name that is missing fails. */
const secrets = new Map<string, Secret>([
  ['default', { kind: 'key', key: 'KEY', chain: 'CHAIN' }],
  ['ROOTCA', { kind: 'root', roots: 'ROOTS' }],
  ['file-root:/x', { kind: 'root', roots: 'X' }],
])
const server = new SdsServer({
  get: async name => {
    const secret = secrets.get(name)
    if (secret === undefined) throw new Error('no way to the CA')
    return secret
  },
})
const identity = (bytes: Buffer): Buffer => bytes

interface Answer {
  readonly version: string
  readonly nonce: string
  readonly secrets: readonly object[]
}

/** A proxy's stream of requests. */
class TestProxy {
  readonly answers: Answer[] = []
  error: ServiceError | undefined
  readonly #client = new Client(`unix:${path}`, credentials.createInsecure())
  readonly #stream: ClientDuplexStream<Buffer, Buffer>

  constructor(method = 'StreamSecrets') {
    this.#stream = this.#client.makeBidiStreamRequest(`${SERVICE}/${method}`, identity, identity)
    this.#stream.on('data', (bytes: Buffer) => {
      const { version, nonce, resources } = decodeResponse(bytes)
      const decoded = resources.map(({ typeUrl, bytes: value }) => {
        t.equal(typeUrl, TYPE)
        return decodeMessage('envoy.extensions.transport_sockets.tls.v3.Secret', value).message
      })
      this.answers.push({ version, nonce, secrets: decoded })
    })
    this.#stream.on('error', (error: ServiceError) => {
      this.error = error
    })
  }

  ask(names: readonly string[], nonce = '', error?: string): void {
    const request = {
      resource_names: names,
      type_url: TYPE,
      response_nonce: nonce,
      ...(error === undefined ? {} : { error_detail: { code: 13, message: error } }),
    }
    this.#stream.write(Buffer.from(encodeMessage('envoy.service.discovery.v3.DiscoveryRequest', request)))
  }

  write(bytes: Buffer): void {
    this.#stream.write(bytes)
  }

  /** A round trip: whatever the server was to say has been said. */
  async settled(): Promise<void> {
    const other = new TestProxy()
    other.ask(['default'])
    await until(() => other.answers.length === 1)
    other.close()
  }

  close(): void {
    this.#stream.cancel()
    this.#client.close()
  }
}

function open(t: { teardown: (fn: () => void) => void }, method?: string): TestProxy {
  const proxy = new TestProxy(method)
  t.teardown(() => proxy.close())
  return proxy
}

t.before(async () => {
  await server.listen(path, 'workload certificates')
  // What a container that died has left.
  writeFileSync(`${path}2`, '')
})
t.teardown(() => {
  server.close()
  rmSync(folder, { recursive: true })
})

t.test('the socket is open to every user, its folder is not', async t => {
  t.equal(statSync(path).mode & 0o777, 0o666)
  t.equal(statSync(join(folder, 'deep/er')).mode & 0o777, 0o750)
  t.ok(statSync(path).isSocket())
})

t.test('what a dead container left at the path is replaced; a closed server leaves nothing', async t => {
  const second = new SdsServer({ get: async () => ({ kind: 'root', roots: '' }) })
  await second.listen(`${path}2`, 'x')
  t.ok(statSync(`${path}2`).isSocket())
  second.close()
  t.notOk(existsSync(`${path}2`))
})

t.test('a socket that cannot be made is told and tried again; the agent goes on', async t => {
  let logged = ''
  configureLog({
    write: line => {
      logged += line
    },
  })
  // A file is where its folder should be.
  writeFileSync(join(folder, 'blocked'), '')
  const blocked = join(folder, 'blocked/socket')
  const second = new SdsServer({ get: async () => ({ kind: 'root', roots: '' }) })
  t.teardown(() => second.close())
  await second.start(blocked, 'workload certificates')
  t.match(logged, /error\tsds\t(failed to remove unix:|SDS grpc server for workload proxies failed to set up UDS: )/)
  rmSync(join(folder, 'blocked'))
  await until(() => existsSync(blocked))
  t.ok(statSync(blocked).isSocket())
})

t.test('key and chain, roots: inline bytes under the name that was asked for', async t => {
  const proxy = open(t)
  proxy.ask(['default', 'ROOTCA'])
  await until(() => proxy.answers.length === 1)
  const bytes = (text: string): object => ({ inline_bytes: Buffer.from(text).toString('base64') })
  const [first] = proxy.answers as [Answer]
  t.same(JSON.parse(JSON.stringify(first.secrets, base64)), [
    { name: 'default', tls_certificate: { certificate_chain: bytes('CHAIN'), private_key: bytes('KEY') } },
    { name: 'ROOTCA', validation_context: { trusted_ca: bytes('ROOTS') } },
  ])
  t.match(first.version, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\/\d+$/)
  t.match(first.nonce, /^[0-9a-f-]{36}$/)
})

t.test('ACK, NACK and stale nonces are not answered; a name more is answered with that alone', async t => {
  const proxy = open(t)
  proxy.ask(['default'])
  await until(() => proxy.answers.length === 1)
  const { nonce } = proxy.answers[0] as Answer
  proxy.ask(['default'], nonce)
  proxy.ask(['default'], nonce, 'bad key')
  proxy.ask(['default', 'ROOTCA'], 'stale')
  await proxy.settled()
  t.equal(proxy.answers.length, 1)
  proxy.ask(['default', 'ROOTCA'], nonce)
  await until(() => proxy.answers.length === 2)
  t.same(names(proxy.answers[1]), ['ROOTCA'])
})

t.test('a push reaches those who asked for the name, and no others', async t => {
  const [one, other] = [open(t), open(t)]
  one.ask(['default'])
  other.ask(['ROOTCA'])
  await until(() => one.answers.length === 1 && other.answers.length === 1)
  secrets.set('default', { kind: 'key', key: 'NEW', chain: 'NEWER' })
  server.push('default')
  await until(() => one.answers.length === 2)
  t.match(JSON.stringify(one.answers[1]?.secrets, base64), Buffer.from('NEWER').toString('base64'))
  t.not(one.answers[0]?.version, one.answers[1]?.version)
  await other.settled()
  t.equal(other.answers.length, 1)
  // No name any more: nothing is watched.
  one.ask([], one.answers[1]?.nonce)
  await one.settled()
  server.push('default')
  await one.settled()
  t.equal(one.answers.length, 2)
})

t.test('a reconnecting proxy, which still has a nonce, is answered', async t => {
  const proxy = open(t)
  proxy.ask(['file-root:/x'], 'of another stream')
  await until(() => proxy.answers.length === 1)
  t.same(names(proxy.answers[0]), ['file-root:/x'])
})

t.test('a secret that cannot be made ends the stream with the reason, so the proxy asks again', async t => {
  const proxy = open(t)
  proxy.ask(['missing'])
  await until(() => proxy.error !== undefined)
  t.match(proxy.error, { code: status.UNKNOWN, details: 'failed to generate secret for missing: no way to the CA' })
})

t.test('garbage, other types and too many names are refused; delta is not there', async t => {
  const garbage = open(t)
  garbage.write(Buffer.of(0x0a, 0xff))
  await until(() => garbage.error !== undefined)
  t.equal(garbage.error?.code, status.INVALID_ARGUMENT)
  const many = open(t)
  many.ask(Array.from({ length: 1001 }, (_, i) => String(i)))
  await until(() => many.error !== undefined)
  t.equal(many.error?.code, status.INVALID_ARGUMENT)
  const other = open(t)
  other.write(
    Buffer.from(encodeMessage('envoy.service.discovery.v3.DiscoveryRequest', { type_url: 'type.googleapis.com/x' })),
  )
  await until(() => other.error !== undefined)
  t.equal(other.error?.code, status.INVALID_ARGUMENT)
  const delta = open(t, 'DeltaSecrets')
  await until(() => delta.error !== undefined)
  t.equal(delta.error?.code, status.UNIMPLEMENTED)
})

function names(answer: Answer | undefined): string[] {
  return ((answer?.secrets ?? []) as { name: string }[]).map(secret => secret.name)
}

function base64(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  // Buffer.toJSON came first.
  const buffer = value as { type?: string; data?: number[] } | null
  return buffer?.type === 'Buffer' ? Buffer.from(buffer.data ?? []).toString('base64') : value
}
