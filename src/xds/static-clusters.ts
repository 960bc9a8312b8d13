import { elementOf, elementsOf, packedListOf } from '../base/shelf.ts'
import type { envoy } from '../config/gen/messages.d.ts'

type Cluster = envoy.config.cluster.v3.Cluster

/** Where a config source finds its cluster. */
export interface ClustersByName {
  get(name: string): Cluster | undefined
}

/** The clusters of the bootstrap, of which few are ever asked for: long lists are decoded one by one. */
export class StaticClusters implements ClustersByName {
  readonly length: number
  readonly #owner: object
  readonly #numbers = new Map<string, number>()

  /** `owner`: static_resources. */
  constructor(owner: object) {
    this.#owner = owner
    this.length = elementsOf(owner, 'clusters').length
    for (let i = 0; i < this.length; i++) this.#numbers.set(this.#field(i, 'name') ?? '', i)
  }

  names(): Iterable<string> {
    return this.#numbers.keys()
  }

  get(name: string): Cluster | undefined {
    const i = this.#numbers.get(name)
    return i === undefined ? undefined : this.at(i)
  }

  at(i: number): Cluster {
    return elementOf(this.#owner, 'clusters', i)
  }

  typeOf(i: number): Cluster['type'] {
    return this.#field(i, 'type')
  }

  #field<K extends keyof Cluster>(i: number, name: K): Cluster[K] {
    const list = packedListOf<Cluster>(this.#owner, 'clusters')
    return list === null ? this.at(i)[name] : list.field(i, name)
  }
}
