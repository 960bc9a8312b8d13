import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, type ClientDuplexStream, credentials } from '@grpc/grpc-js'
import t from 'tap'
import { decodeMessage, encodeMessage } from '../../../src/config/binary.ts'
import { AdsServer } from '../../../src/lab/ads-server.ts'
import type { AdsEvent } from '../../../src/lab/ads-session.ts'
import type { Snapshot } from '../../../src/lab/resource-files.ts'

const CLUSTER = 'type.googleapis.com/envoy.config.cluster.v3.Cluster'
const ENDPOINTS = 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment'
const SERVICE = '/envoy.service.discovery.v3.AggregatedDiscoveryService'
const node = { id: 'sidecar~10.0.0.1~client.lab~lab.svc.cluster.local' }

interface Response {
  version_info: string
  nonce: string
  type_url: string
  resources: { type_url: string }[]
}

/** One stream; responses are read in order. */
class Peer<R> {
  readonly stream: ClientDuplexStream<object, R>
  readonly #arrived: R[] = []
  readonly #waiting: ((response: R) => void)[] = []
  readonly #client: Client

  constructor(address: string, protocol: 'Delta' | 'Stream') {
    const prefix = `envoy.service.discovery.v3.${protocol === 'Delta' ? 'Delta' : ''}Discovery`
    this.#client = new Client(address, credentials.createInsecure())
    this.stream = this.#client.makeBidiStreamRequest(
      `${SERVICE}/${protocol}AggregatedResources`,
      (value: object) => Buffer.from(encodeMessage(`${prefix}Request`, value)),
      (bytes: Buffer) => decodeMessage(`${prefix}Response`, bytes).message as R,
    )
    this.stream.on('error', () => {})
    this.stream.on('data', (response: R) => {
      const next = this.#waiting.shift()
      if (next === undefined) this.#arrived.push(response)
      else next(response)
    })
  }

  send(request: object): void {
    this.stream.write(request)
  }

  next(): Promise<R> {
    const response = this.#arrived.shift()
    return response === undefined ? new Promise(resolve => this.#waiting.push(resolve)) : Promise.resolve(response)
  }

  close(): void {
    this.stream.cancel()
    this.#client.close()
  }
}

function snapshot(clusters: Record<string, number>, endpoints: Record<string, number> = {}): Snapshot {
  const make = (typeUrl: string, all: Record<string, number>): Snapshot['shared'] =>
    Object.entries(all).map(([name, byte]) => ({ typeUrl, name, value: new Uint8Array([0xf8, 0x7f, byte]) }))
  return { shared: [...make(CLUSTER, clusters), ...make(ENDPOINTS, endpoints)], perNode: new Map() }
}

t.test('state of the world over ADS', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'remora-ads-'))
  const address = `unix:${join(folder, 's')}`
  const events: AdsEvent[] = []
  const nacked = Promise.withResolvers<void>()
  const server = new AdsServer(event => {
    events.push(event)
    if (event.kind === 'nack') nacked.resolve()
  })
  server.publish(snapshot({ a: 1, b: 1 }, { a: 1, b: 1 }))
  await server.listen(address)
  const peer = new Peer<Response>(address, 'Stream')
  t.teardown(() => {
    peer.close()
    server.close()
    rmSync(folder, { recursive: true })
  })

  peer.send({ node, type_url: CLUSTER })
  const first = await peer.next()
  t.equal(first.resources.length, 2, 'a wildcard request gets everything')
  peer.send({ type_url: CLUSTER, version_info: first.version_info, response_nonce: first.nonce })

  peer.send({ type_url: ENDPOINTS, resource_names: ['a'] })
  const endpoints = await peer.next()
  t.equal(endpoints.resources.length, 1, 'endpoints are sent for the names asked for only')
  const acknowledged = { type_url: ENDPOINTS, version_info: endpoints.version_info, response_nonce: endpoints.nonce }
  peer.send({ ...acknowledged, resource_names: ['a', 'b'] })
  const more = await peer.next()
  t.equal(more.resources.length, 2, 'an ACK with further names is answered')
  peer.send({ ...acknowledged, resource_names: ['a'] })
  peer.send({ ...acknowledged, response_nonce: more.nonce, resource_names: ['a', 'b'] })
  peer.send({ ...acknowledged, response_nonce: more.nonce, resource_names: ['a', 'b'] })
  const again = await peer.next()
  t.not(again.nonce, more.nonce, 'a request on a stale nonce is not answered, a repeated one on an answered nonce is')
  peer.send({ ...acknowledged, response_nonce: again.nonce, resource_names: ['a', 'b'] })

  server.publish(snapshot({ a: 2, b: 1 }, { a: 1, b: 1 }))
  const second = await peer.next()
  t.equal(second.type_url, CLUSTER, 'clusters are pushed first')
  t.not(second.version_info, first.version_info)
  const follow = await peer.next()
  t.equal(follow.type_url, ENDPOINTS, 'and their endpoints again, for the new clusters warm')
  peer.send({
    type_url: CLUSTER,
    version_info: first.version_info,
    response_nonce: second.nonce,
    error_detail: { code: 13, message: 'no good' },
  })
  peer.send({ ...acknowledged, response_nonce: follow.nonce, resource_names: ['a', 'b'] })

  await nacked.promise
  server.publish(snapshot({ a: 3 }, { a: 1 }))
  t.match(await peer.next(), { type_url: CLUSTER, resources: [{}] })
  t.match(
    events.find(event => event.kind === 'nack'),
    { node: 'client', type: 'Cluster', version: second.version_info, reason: 'no good' },
    'a NACK is reported with node, type, version and reason',
  )
})

interface DeltaMessage {
  system_version_info?: string
  nonce: string
  type_url: string
  resources?: { name: string; version: string }[]
  removed_resources?: string[]
}

/** Names that came, sorted, and `-name` for those that are gone. */
function names({ resources = [], removed_resources = [] }: DeltaMessage): string[] {
  return [...resources.map(r => r.name), ...removed_resources.map(name => `-${name}`)].sort()
}

t.test('incremental ADS: only what changed, and what is gone', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'remora-ads-'))
  const address = `unix:${join(folder, 's')}`
  const events: AdsEvent[] = []
  const server = new AdsServer(event => events.push(event))
  server.publish(snapshot({ a: 1, b: 1 }, { a: 1, b: 1 }))
  await server.listen(address)
  const peer = new Peer<DeltaMessage>(address, 'Delta')
  t.teardown(() => {
    peer.close()
    server.close()
    rmSync(folder, { recursive: true })
  })

  peer.send({ node, type_url: CLUSTER })
  const first = await peer.next()
  t.same(names(first), ['a', 'b'], 'a first request without names gets everything')
  peer.send({ type_url: CLUSTER, response_nonce: first.nonce })

  peer.send({ type_url: ENDPOINTS, resource_names_subscribe: ['a', 'nobody'] })
  const endpoints = await peer.next()
  t.same(names(endpoints), ['-nobody', 'a'], 'what was asked for and is not there is said to be gone')
  peer.send({ type_url: ENDPOINTS, response_nonce: endpoints.nonce, resource_names_subscribe: ['b'] })
  t.same(names(await peer.next()), ['b'], 'further names get what they ask for')
  peer.send({ type_url: ENDPOINTS, resource_names_subscribe: ['a'] })
  t.same(names(await peer.next()), ['a'], 'asked again, it is sent again')
  peer.send({ type_url: ENDPOINTS, resource_names_unsubscribe: ['b'] })

  // Whatever is sent twice has come to the server before the snapshot: the answer to this tells.
  peer.send({ type_url: ENDPOINTS, resource_names_subscribe: ['a'] })
  await peer.next()
  server.publish(snapshot({ a: 2, c: 1 }, { a: 1, b: 2, nobody: 1 }))
  const second = await peer.next()
  t.equal(second.type_url, CLUSTER, 'clusters are pushed first')
  t.same(names(second), ['-b', 'a', 'c'])
  const follow = await peer.next()
  t.same(names(follow), ['a', 'nobody'], 'endpoints follow their cluster; what was missing comes; b was given up')

  peer.send({ type_url: CLUSTER, response_nonce: second.nonce, error_detail: { code: 13, message: 'no good' } })
  peer.send({ type_url: ENDPOINTS, resource_names_subscribe: ['a'] })
  await peer.next()
  t.match(
    events.find(event => event.kind === 'nack'),
    { node: 'client', type: 'Cluster', version: second.system_version_info, reason: 'no good' },
  )

  const again = new Peer<DeltaMessage>(address, 'Delta')
  t.teardown(() => again.close())
  const known = Object.fromEntries(second.resources!.map(r => [r.name, r.version]))
  again.send({ node, type_url: CLUSTER, initial_resource_versions: { ...known, c: 'older' } })
  t.same(names(await again.next()), ['c'], 'after a reconnect only what the client does not have')
})
