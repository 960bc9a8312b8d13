import type { JsonObject } from './json.ts'

/** Where everything of one proxy is. */
export interface Places {
  /** A free port for this purpose; the same purpose is asked for once only. */
  port(purpose: string): number
  /** Where the next endpoint of a cluster goes; null leaves it where it is. */
  endpoint(cluster: string, protocol: 'http1' | 'http2'): number | null
  /** Port of this proxy's control plane; 0 where it has none. */
  readonly controlPlane: number
  /** Access log that is compared. */
  readonly log: string
  /** For the access logs of the configuration itself, and for the files that it watches. */
  readonly folder: string
}

/** Places that stay the same when a later state of a resource asks for them again. */
export class Sites {
  readonly controlPlane: number
  readonly log: string
  readonly folder: string
  readonly #places: Places
  readonly #ports = new Map<string, number>()
  readonly #endpoints = new Map<string, (number | null)[]>()

  constructor(places: Places) {
    this.#places = places
    this.controlPlane = places.controlPlane
    this.log = places.log
    this.folder = places.folder
  }

  port(purpose: string): number {
    const port = this.#ports.get(purpose) ?? this.#places.port(purpose)
    this.#ports.set(purpose, port)
    return port
  }

  /** `index`: which of the cluster's endpoints, from 0 and without gaps. */
  endpoint(cluster: string, index: number, protocol: 'http1' | 'http2'): number | null {
    const all = this.#endpoints.get(cluster) ?? []
    this.#endpoints.set(cluster, all)
    if (index === all.length) all.push(this.#places.endpoint(cluster, protocol))
    return all[index] ?? null
  }
}

export function loopback(port: number): JsonObject {
  return { socket_address: { address: '127.0.0.1', port_value: port } }
}
