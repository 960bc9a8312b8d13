/**
 * State of one resource type on one stream, incremental protocol: what is wanted, and which version of it is there. Pure: it is told
 * what happened and says what to send (https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#incremental-xds). When a
 * request is sent is the mux's choice.
 */
export interface DeltaRequest {
  readonly typeUrl: string
  readonly subscribe: readonly string[]
  readonly unsubscribe: readonly string[]
  /** "initial_resource_versions must be populated for the first request in a stream": name → version. */
  readonly initialVersions: ReadonlyMap<string, string>
  /** Nonce of the response this answers; '' = none. */
  readonly nonce: string
  /** Why that response was rejected; '' for an ACK or a plain subscription. */
  readonly error: string
}

const WILDCARD = '*'

export class DeltaSubscription {
  readonly typeUrl: string
  /** Asked for by name; null: not there (yet). `*` is one of them. */
  readonly #requested = new Map<string, string | null>()
  /** There because of `*`. */
  readonly #wildcard = new Map<string, string>()
  /** No longer asked for by name, and perhaps there because of `*` all the same: the server will say. */
  readonly #ambiguous = new Map<string, string>()
  readonly #added = new Set<string>()
  readonly #dropped = new Set<string>()
  /** The first request of all without names means `*` (the way LDS and CDS always asked). */
  #legacyWildcard = true
  #requestSent = false

  constructor(typeUrl: string) {
    this.typeUrl = typeUrl
  }

  /** Interest changes; names that others still want must not be in `removed`. */
  change(added: Iterable<string>, removed: Iterable<string>): void {
    for (const name of added) {
      if (name !== WILDCARD) this.#legacyWildcard = false
      this.#requested.set(name, this.#wildcard.get(name) ?? this.#ambiguous.get(name) ?? null)
      this.#wildcard.delete(name)
      this.#ambiguous.delete(name)
      // Dropped and wanted again before a request went out: whoever wants it has nothing of it and must be sent it anew.
      this.#dropped.delete(name)
      this.#added.add(name)
    }
    for (const name of removed) this.#drop(name)
  }

  #drop(name: string): void {
    const version = this.#requested.get(name)
    this.#added.delete(name)
    if (version === undefined) return
    this.#requested.delete(name)
    this.#dropped.add(name)
    this.#legacyWildcard = false
    if (name === WILDCARD) {
      this.#wildcard.clear()
      this.#ambiguous.clear()
    } else if (version !== null && this.#requested.has(WILDCARD)) this.#ambiguous.set(name, version)
  }

  /** There is something to tell, apart from answers. */
  get pending(): boolean {
    if (this.#added.size > 0 || this.#dropped.size > 0) return true
    return !this.#requestSent && (this.#requested.size > 0 || this.#legacyWildcard)
  }

  onStreamOpened(): void {
    this.#requestSent = false
  }

  /** The request that says where things stand now, and answers the response of that nonce. */
  take(nonce: string, error: string): DeltaRequest {
    let initialVersions: ReadonlyMap<string, string> = new Map()
    if (!this.#requestSent) {
      this.#requestSent = true
      const legacy = this.#isLegacyWildcard()
      initialVersions = this.versions()
      // Everything, since it may be another server; what is not wanted need not be dropped there.
      if (legacy) this.#added.clear()
      else for (const name of this.#requested.keys()) this.#added.add(name)
      this.#dropped.clear()
    }
    const subscribe = [...this.#added]
    const unsubscribe = [...this.#dropped]
    this.#added.clear()
    this.#dropped.clear()
    return { typeUrl: this.typeUrl, subscribe, unsubscribe, initialVersions, nonce, error }
  }

  #isLegacyWildcard(): boolean {
    if (this.#legacyWildcard) {
      this.#requested.set(WILDCARD, null)
      return true
    }
    const unchanged = this.#added.size === 0 && this.#dropped.size === 0
    return unchanged && this.#requested.size === 1 && this.#requested.has(WILDCARD)
  }

  /** What is there, with its version. */
  versions(): Map<string, string> {
    const versions = new Map<string, string>()
    for (const [name, version] of this.#requested) if (version !== null) versions.set(name, version)
    for (const [name, version] of this.#wildcard) versions.set(name, version)
    for (const [name, version] of this.#ambiguous) versions.set(name, version)
    return versions
  }

  /** Version of a resource that is there; null when it is not. */
  versionOf(name: string): string | null {
    return this.#requested.get(name) ?? this.#wildcard.get(name) ?? this.#ambiguous.get(name) ?? null
  }

  /** A resource was taken over. False: nobody wants it. */
  onReceived(name: string, version: string): boolean {
    if (this.#requested.has(name)) this.#requested.set(name, version)
    else if (this.#requested.has(WILDCARD)) {
      this.#wildcard.set(name, version)
      this.#ambiguous.delete(name)
    } else return false
    return true
  }

  /** The server no longer has it, or its time is over. */
  onRemoved(name: string): void {
    if (this.#requested.has(name)) this.#requested.set(name, null)
    else if (!this.#ambiguous.delete(name)) this.#wildcard.delete(name)
  }
}
