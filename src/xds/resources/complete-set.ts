import { ConfigError } from '../../base/errors.ts'
import { listErrors, type ResourceError } from '../nack.ts'
import type { ResourceUpdate } from '../source.ts'
import type { Unavailable, UpdateHandler } from '../xds-subscription.ts'
import type { XdsResource } from './xds-resource.ts'

/** Who owns clusters or listeners: the server. */
export interface ResourceSink {
  /**
   * Takes a version over. Resources are judged one by one: those that are fine come into effect although others are refused, and
   * what was there before of a refused one stays (cds_api_helper.cc, lds_api.cc). Returns those that were refused; does not throw.
   *
   * @param version of the answer as a whole
   * @param changed new ones, changed ones and those refused before; what came byte for byte as it already is, is not in the list
   * @param removed once accepted and now gone; LDS removes before it adds (addresses are free then), CDS after
   */
  apply(version: string, changed: readonly XdsResource[], removed: readonly string[]): readonly ResourceError[]
  /** A first answer was judged, or is not waited for any longer. Comes once. */
  ready(): void
}

/** CDS and LDS: a response of the state of the world is the complete truth, so a resource that is missing was removed. */
export class CompleteSet implements UpdateHandler {
  readonly #what: 'cluster(s)' | 'listener(s)'
  readonly #sink: ResourceSink
  readonly #fixed: ReadonlySet<string>
  readonly #onApplied: () => void
  /** Bytes of each accepted resource: copies, a slice would keep its whole response in memory. */
  readonly #accepted = new Map<string, Uint8Array>()
  #ready = false

  /**
   * @param fixed names of the static configuration: xDS can neither change nor remove them, and is not told so
   * @param onApplied a version without errors brought something new (config_reload; Envoy does not count mere removals)
   */
  constructor(
    what: 'cluster(s)' | 'listener(s)',
    sink: ResourceSink,
    fixed: ReadonlySet<string> = new Set(),
    onApplied: () => void = () => {},
  ) {
    this.#what = what
    this.#sink = sink
    this.#fixed = fixed
    this.#onApplied = onApplied
  }

  check(update: ResourceUpdate): void {
    for (const resource of update.resources) if (this.#differs(resource)) resource.decode()
  }

  onUpdate(update: ResourceUpdate): void {
    const changed: XdsResource[] = []
    const errors: ResourceError[] = []
    const seen = new Set<string>()
    for (const resource of update.resources) {
      const { name } = resource
      // A mesh pushes thousands of resources to change one: the others are compared, not decoded.
      if (this.#differs(resource)) {
        // Throws for the response as a whole: a message that breaks its own rules is refused before anything is applied.
        resource.decode()
        if (!seen.has(name) && !this.#fixed.has(resource.ownName)) changed.push(resource)
      }
      if (seen.has(name)) {
        const word = resource.type.word.toLowerCase()
        errors.push({ name, error: new ConfigError('CONFIG_DUPLICATE', '', `duplicate ${word} ${name} found`) })
      }
      seen.add(name)
    }
    const removed = update.removed ?? [...this.#accepted.keys()].filter(name => !seen.has(name))
    const refused = this.#sink.apply(update.version, changed, removed)
    for (const name of removed) this.#accepted.delete(name)
    const bad = new Map(refused.map(e => [e.name, e.error]))
    for (const resource of changed) {
      const { ownName } = resource
      const error = bad.get(ownName)
      if (error === undefined) this.#accepted.set(resource.name, Uint8Array.from(resource.bytes))
      else bad.set(ownName, resource.locate(error))
    }
    this.#becomeReady()
    errors.unshift(...[...bad].map(([name, error]) => ({ name, error })))
    if (errors.length > 0) throw new Error(listErrors(this.#what, errors))
    if (changed.length > 0) this.#onApplied()
  }

  onUnavailable(_why: Unavailable): void {
    this.#becomeReady()
  }

  #differs({ name, bytes }: XdsResource): boolean {
    const before = this.#accepted.get(name)
    return before === undefined || !Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).equals(before)
  }

  #becomeReady(): void {
    if (this.#ready) return
    this.#ready = true
    this.#sink.ready()
  }
}
