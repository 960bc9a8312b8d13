/**
 * Where a value stands in a message: `static_resources.listeners[0].filter_chains[0].filters[0].typed_config.<any>.route_config`.
 * Immutable and cheap, a node per step that points to its parent; the text is made only when an error needs it.
 */
export class FieldPath {
  readonly parent: FieldPath | null
  /** name of the field, index of the element, or key of the map entry; '' for root and any */
  readonly step: string | number
  readonly kind: 'root' | 'field' | 'index' | 'key' | 'any'
  /** position of a map entry: Envoy prints `[0]` where we print `["key"]` */
  readonly position: number

  constructor(parent: FieldPath | null, step: string | number, kind: FieldPath['kind'], position = 0) {
    this.parent = parent
    this.step = step
    this.kind = kind
    this.position = position
  }

  /** @param label what the path starts from, for dynamic resources: "Cluster 'foo'" */
  static root(label = ''): FieldPath {
    return new FieldPath(null, label, 'root')
  }

  field(name: string): FieldPath {
    return new FieldPath(this, name, 'field')
  }

  index(i: number): FieldPath {
    return new FieldPath(this, i, 'index')
  }

  key(k: string, position = 0): FieldPath {
    return new FieldPath(this, k, 'key', position)
  }

  any(): FieldPath {
    return new FieldPath(this, '', 'any')
  }

  /** The steps from the root, without it. */
  steps(): FieldPath[] {
    const out: FieldPath[] = []
    for (let p: FieldPath = this; p.parent !== null; p = p.parent) out.push(p)
    return out.reverse()
  }

  toString(): string {
    return this.#print(false)
  }

  /** As protobuf's JSON reader prints it: map entries by position, no label. */
  toEnvoy(): string {
    return this.#print(true)
  }

  #print(envoy: boolean): string {
    let out = ''
    for (const p of this.steps()) {
      if (p.kind === 'index') out += `[${p.step}]`
      else if (p.kind === 'key') out += envoy ? `[${p.position}]` : `[${JSON.stringify(p.step)}]`
      else out += (out === '' ? '' : '.') + (p.kind === 'any' ? '<any>' : p.step)
    }
    let root: FieldPath = this
    while (root.parent !== null) root = root.parent
    if (envoy || root.step === '') return out
    return out === '' ? String(root.step) : `${root.step}: ${out}`
  }
}
