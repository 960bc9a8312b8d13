/**
 * A control plane for delta ADS: `--clusters` of them to whoever asks for clusters, endpoints for whatever is asked for. On the control
 * port `GET /update?cluster=NAME` changes one endpoint of that cluster, `/replace?cluster=NAME` the cluster itself; both answer when the
 * proxy has acknowledged it.
 */
import { createServer } from 'node:http'
import { parseArgs } from 'node:util'
import { Server, ServerCredentials, type ServerDuplexStream, type ServiceDefinition } from '@grpc/grpc-js'
import { decodeMessage, encodeMessage } from '../../../src/config/binary.ts'

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    control: { type: 'string' },
    endpoint: { type: 'string' },
    clusters: { type: 'string' },
  },
})
const endpointPort = Number(values.endpoint)
const ENDPOINTS = 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment'
const CLUSTERS = 'type.googleapis.com/envoy.config.cluster.v3.Cluster'
const REQUEST = 'envoy.service.discovery.v3.DeltaDiscoveryRequest'
const RESPONSE = 'envoy.service.discovery.v3.DeltaDiscoveryResponse'

interface Request {
  readonly type_url?: string
  readonly resource_names_subscribe?: readonly string[]
  readonly response_nonce?: string
  readonly error_detail?: { readonly message?: string }
}

interface Resource {
  readonly name: string
  readonly version: string
  readonly resource: { readonly type_url: string; readonly value: Uint8Array }
}

interface Response {
  readonly system_version_info: string
  readonly resources: readonly Resource[]
  readonly type_url: string
  readonly nonce: string
}

type Stream = ServerDuplexStream<Request, Response>

const SERVICE: ServiceDefinition = {
  DeltaAggregatedResources: {
    path: '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
    requestStream: true,
    responseStream: true,
    requestSerialize: (value: object) => Buffer.from(encodeMessage(REQUEST, value)),
    requestDeserialize: (bytes: Buffer) => decodeMessage(REQUEST, bytes).message as object,
    responseSerialize: (value: object) => Buffer.from(encodeMessage(RESPONSE, value)),
    responseDeserialize: (bytes: Buffer) => decodeMessage(RESPONSE, bytes).message as object,
  },
}

const streams = new Set<Stream>()
const waiting = new Map<string, (outcome: string) => void>()
let nonce = 0
let version = 0

const server = new Server({ 'grpc.max_receive_message_length': -1 })
server.addService(SERVICE, {
  DeltaAggregatedResources: (stream: Stream) => {
    streams.add(stream)
    const end = (): void => {
      streams.delete(stream)
    }
    stream.on('data', (request: Request) => onRequest(stream, request))
    stream.on('end', () => {
      stream.end()
      end()
    })
    stream.on('cancelled', end)
    stream.on('error', end)
  },
})
server.bindAsync(`127.0.0.1:${values.port}`, ServerCredentials.createInsecure(), error => {
  if (error !== null) throw error
})

createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://control')
  const name = url.searchParams.get('cluster')
  const known = url.pathname === '/update' || url.pathname === '/replace'
  if (!known || name === null || streams.size === 0) {
    response.writeHead(streams.size === 0 ? 409 : 404).end('nobody to tell\n')
    return
  }
  version++
  // Two values in turn, so that every update is a change.
  const resource =
    url.pathname === '/update'
      ? assignment(name, version % 2 === 0 ? '127.0.0.1' : '127.0.0.2')
      : cluster(name, version % 2 === 0 ? 1000 : 2000)
  let left = streams.size
  for (const stream of streams) {
    waiting.set(send(stream, [resource]), outcome => {
      left--
      if (outcome !== '') response.writeHead(500).end(outcome)
      else if (left === 0) response.end('acknowledged\n')
    })
  }
}).listen(Number(values.control), '127.0.0.1')

function onRequest(stream: Stream, request: Request): void {
  const answered = request.response_nonce ?? ''
  const done = waiting.get(answered)
  if (done !== undefined) {
    waiting.delete(answered)
    done(request.error_detail?.message ?? '')
  }
  if (request.type_url === CLUSTERS && answered === '') {
    const count = Number(values.clusters)
    send(
      stream,
      Array.from({ length: count }, (_, i) => cluster(`cluster-${i}`, 1000)),
    )
  }
  if (request.type_url !== ENDPOINTS) return
  const names = request.resource_names_subscribe ?? []
  if (names.length > 0)
    send(
      stream,
      names.map(name => assignment(name, '127.0.0.1')),
    )
}

/** Returns the nonce. */
function send(stream: Stream, resources: readonly Resource[]): string {
  const id = String(++nonce)
  const { type_url } = resources[0]!.resource
  stream.write({ system_version_info: String(version), resources, type_url, nonce: id })
  return id
}

function assignment(name: string, host: string): Resource {
  return resource(name, ENDPOINTS, endpoints(name, host))
}

function cluster(name: string, connectTimeout: number): Resource {
  const message = {
    name,
    type: 'STATIC',
    connect_timeout: connectTimeout,
    load_assignment: endpoints(name, '127.0.0.1'),
  }
  return resource(name, CLUSTERS, message)
}

function endpoints(name: string, host: string): object {
  return {
    cluster_name: name,
    endpoints: [
      { lb_endpoints: [{ endpoint: { address: { socket_address: { address: host, port_value: endpointPort } } } }] },
    ],
  }
}

function resource(name: string, url: string, message: object): Resource {
  const value = encodeMessage(url.slice(url.lastIndexOf('/') + 1), message)
  return { name, version: String(version), resource: { type_url: url, value } }
}
