import { Client, type ClientDuplexStream, credentials } from '@grpc/grpc-js'
import t from 'tap'
import { ControlPlane } from '../../../bench/compare/control-plane.ts'
import { decodeMessage, encodeMessage } from '../../../src/config/binary.ts'

const SECRET = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret'
const DISCOVERY = 'envoy.service.discovery.v3.Discovery'

interface Response {
  readonly version_info: string
  readonly nonce: string
}

/** A proxy's stream for one secret; acknowledges when it is told to. */
class SecretStream {
  readonly #stream: ClientDuplexStream<object, Response>
  readonly #arrived: Promise<Response>
  readonly #name: string

  constructor(client: Client, name: string) {
    this.#name = name
    this.#stream = client.makeBidiStreamRequest(
      '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets',
      (value: object) => Buffer.from(encodeMessage(`${DISCOVERY}Request`, value)),
      (bytes: Buffer) => decodeMessage(`${DISCOVERY}Response`, bytes).message as Response,
    )
    this.#stream.on('error', () => {})
    this.#arrived = new Promise(resolve => this.#stream.once('data', resolve))
    this.#stream.write({ node: { id: 'n' }, type_url: SECRET, resource_names: [name] })
  }

  async received(): Promise<void> {
    await this.#arrived
  }

  async acknowledge(): Promise<void> {
    const { version_info, nonce } = await this.#arrived
    this.#stream.write({ type_url: SECRET, resource_names: [this.#name], version_info, response_nonce: nonce })
  }

  cancel(): void {
    this.#stream.cancel()
  }
}

t.test('a type is answered when each of its streams has answered, and not when one is gone without', async t => {
  const plane = await ControlPlane.start()
  const client = new Client(`127.0.0.1:${plane.port}`, credentials.createInsecure())
  t.teardown(() => {
    client.close()
    plane.close()
  })
  plane.publish(
    ['a', 'b'].map(name => ({ '@type': SECRET, name, generic_secret: { secret: { inline_string: name } } })),
  )
  const [a, b] = [new SecretStream(client, 'a'), new SecretStream(client, 'b')]
  await Promise.all([a.received(), b.received()])
  await a.acknowledge()
  t.match(await plane.answers(0.5), [{ type: 'Secret', names: ['a', 'b'], answered: false }])
  await b.acknowledge()
  t.match(await plane.answers(10), [{ type: 'Secret', names: ['a', 'b'], answered: true }])
  const lost = new SecretStream(client, 'b')
  await lost.received()
  lost.cancel()
  t.match(await plane.answers(0.5), [{ answered: false }])
  await new SecretStream(client, 'b').acknowledge()
  t.match(await plane.answers(10), [{ answered: true }], 'it connected again')
})
