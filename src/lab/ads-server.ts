import { chmodSync, rmSync } from 'node:fs'
import { Server, ServerCredentials, type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js'
import { decodeMessage, encodeMessage } from '../config/binary.ts'
import { decodeDeltaRequest, encodeDeltaResponse } from '../xds/delta-wire.ts'
import type { AdsEvent, AdsSession } from './ads-session.ts'
import { DeltaSession, type DeltaStream } from './delta-session.ts'
import type { Snapshot } from './resource-files.ts'
import { SotwSession, type SotwStream } from './sotw-session.ts'

const INCREMENTAL = {
  requestStream: true,
  responseStream: true,
  requestSerialize: asTheyAre,
  requestDeserialize: decodeDeltaRequest,
  responseSerialize: (value: Parameters<typeof encodeDeltaResponse>[0]) => Buffer.from(encodeDeltaResponse(value)),
  responseDeserialize: asTheyAre,
} as const
const STATE_OF_THE_WORLD = {
  requestStream: true,
  responseStream: true,
  requestSerialize: (value: object) => Buffer.from(encodeMessage('envoy.service.discovery.v3.DiscoveryRequest', value)),
  requestDeserialize: (bytes: Buffer) =>
    decodeMessage('envoy.service.discovery.v3.DiscoveryRequest', bytes).message as object,
  responseSerialize: (value: object) =>
    Buffer.from(encodeMessage('envoy.service.discovery.v3.DiscoveryResponse', value)),
  responseDeserialize: (bytes: Buffer) =>
    decodeMessage('envoy.service.discovery.v3.DiscoveryResponse', bytes).message as object,
} as const

/** Services and what their two methods end with: all types over one stream, and a service for each type. */
const SERVICES: readonly (readonly [service: string, resources: string])[] = [
  ['discovery.v3.AggregatedDiscoveryService', 'AggregatedResources'],
  ['cluster.v3.ClusterDiscoveryService', 'Clusters'],
  ['endpoint.v3.EndpointDiscoveryService', 'Endpoints'],
  ['listener.v3.ListenerDiscoveryService', 'Listeners'],
  ['route.v3.RouteDiscoveryService', 'Routes'],
  ['route.v3.ScopedRoutesDiscoveryService', 'ScopedRoutes'],
  ['route.v3.VirtualHostDiscoveryService', 'VirtualHosts'],
  ['secret.v3.SecretDiscoveryService', 'Secrets'],
  ['extension.v3.ExtensionConfigDiscoveryService', 'ExtensionConfigs'],
  ['runtime.v3.RuntimeDiscoveryService', 'Runtime'],
]

/** Of the other side, which this is not. */
function asTheyAre(bytes: Buffer): Buffer {
  return bytes
}

/** Discovery, aggregated or by type, incremental and state of the world, for any number of nodes. Serves whatever snapshot it was given last. */
export class AdsServer {
  readonly #server = new Server()
  readonly #sessions = new Set<AdsSession>()
  readonly #report: (event: AdsEvent) => void
  #streams = 0
  #snapshot: Snapshot = { shared: [], perNode: new Map() }

  constructor(report: (event: AdsEvent) => void) {
    this.#report = report
    const service: Record<string, ServiceDefinition[string]> = {}
    const methods: UntypedServiceImplementation = {}
    for (const [name, resources] of SERVICES) {
      const path = `/envoy.service.${name}`
      service[`Delta${resources}`] = { ...INCREMENTAL, path: `${path}/Delta${resources}` }
      service[`Stream${resources}`] = { ...STATE_OF_THE_WORLD, path: `${path}/Stream${resources}` }
      methods[`Delta${resources}`] = (stream: DeltaStream) =>
        this.#open(stream, new DeltaSession(stream, ++this.#streams, () => this.#snapshot, this.#report))
      methods[`Stream${resources}`] = (stream: SotwStream) =>
        this.#open(stream, new SotwSession(stream, ++this.#streams, () => this.#snapshot, this.#report))
    }
    this.#server.addService(service, methods)
  }

  /** `host:port` (0 = any free) or `unix:/path`. Resolves to the port; rejects when the address is taken. */
  async listen(address: string): Promise<number> {
    const path = address.startsWith('unix:') ? address.slice('unix:'.length) : undefined
    if (path !== undefined) rmSync(path, { force: true })
    const port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(address, ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve(bound)
        else reject(error)
      })
    })
    // Proxies run as another user.
    if (path !== undefined) chmodSync(path, 0o666)
    return port
  }

  /** Sends every node what has changed for it. */
  publish(snapshot: Snapshot): void {
    this.#snapshot = snapshot
    for (const session of this.#sessions) session.push()
  }

  close(): void {
    this.#server.forceShutdown()
  }

  #open(stream: DeltaStream | SotwStream, session: AdsSession): void {
    this.#sessions.add(session)
    const end = (): void => {
      if (!this.#sessions.delete(session)) return
      const nothing = { type: '', version: '', count: 0, names: [], absent: [], reason: '' }
      this.#report({ kind: 'disconnected', stream: session.stream, node: session.node, ...nothing })
    }
    stream.on('end', () => {
      stream.end()
      end()
    })
    stream.on('cancelled', end)
    stream.on('error', end)
  }
}
