/**
 * The lists that make a bootstrap long, clusters and virtual hosts: each element is read, checked and packed while the text is still
 * being parsed, so that no more than one of them exists as objects at a time. Ten thousand of each would take 40 MB otherwise.
 *
 * Only what is right in every way is read so. Whatever is not (a mistake, an unknown field, a list in a place where the schema has
 * none) is left to the reader of whole documents, which says what is wrong and where.
 */
import { ListPacker } from '../base/packed-values.ts'
import { MIN_LENGTH } from '../base/shelf.ts'
import { readJson } from './json-reader.ts'
import { NotPlain, ReadElements } from './read-elements.ts'
import { validateMessage } from './validate.ts'

/** Takes the elements of a list as the parser of the text finds them. */
export interface ElementSink {
  add(value: unknown): void
  /** What stands for the list in the value of the whole text. */
  finish(): unknown
}

/** Lists that stand deeper in the text are ordinary ones: objects and lists around them. */
const DEEPEST = 20
/** So many steps of a field path that may be, with one more for each Any; the reader of an element counts on from there. */
const STEPS_ABOVE = 2 * DEEPEST

const CLUSTER = 'envoy.config.cluster.v3.Cluster'
const VIRTUAL_HOST = 'envoy.config.route.v3.VirtualHost'

/** All lists of one text. */
export class LongLists {
  #made = 0
  #taken = 0

  /** A sink for the list under `key`, in the mapping under `parent`; null: an ordinary list. `depth`: what is around it. */
  open(parent: string, key: string, depth: number): ElementSink | null {
    if (depth > DEEPEST) return null
    if (key === 'clusters' && parent === 'static_resources') return new Elements(this, CLUSTER)
    if (key === 'virtual_hosts' && parent === 'route_config') return new Elements(this, VIRTUAL_HOST)
    return null
  }

  /** The same for a value that has been parsed whole, which is taken to pieces. */
  takeApart(value: unknown): unknown {
    if (typeof value === 'object' && value !== null) this.#look(value as Record<string, unknown>, '', 0)
    return value
  }

  #look(value: Record<string, unknown>, under: string, depth: number): void {
    if (depth > DEEPEST) return
    for (const key of Object.keys(value)) {
      const inner = value[key]
      if (typeof inner !== 'object' || inner === null) continue
      const sink = Array.isArray(inner) && inner.length >= MIN_LENGTH ? this.open(under, key, depth + 1) : null
      if (sink !== null) value[key] = drain(inner as unknown[], sink)
      else this.#look(inner as Record<string, unknown>, Array.isArray(value) ? '' : key, depth + 1)
    }
  }

  /** Each list was read where its messages belong: none in a Struct, none hidden by an equal key. */
  get complete(): boolean {
    return this.#made === this.#taken
  }

  onMade(): void {
    this.#made++
  }

  onTaken(): void {
    this.#taken++
  }
}

function drain(list: unknown[], sink: ElementSink): unknown {
  for (let i = 0; i < list.length; i++) {
    sink.add(list[i])
    list[i] = null
  }
  return sink.finish()
}

class Elements implements ElementSink {
  readonly #owner: LongLists
  readonly #typeName: string
  readonly #first: unknown[] = []
  #packer: ListPacker<object> | null = null
  readonly #warnings: string[] = []

  constructor(owner: LongLists, typeName: string) {
    this.#owner = owner
    this.#typeName = typeName
  }

  add(value: unknown): void {
    if (this.#packer !== null) this.#read(value)
    else if (this.#first.push(value) === MIN_LENGTH) {
      this.#packer = new ListPacker()
      for (const each of this.#first) this.#read(each)
      this.#first.length = 0
    }
  }

  finish(): unknown {
    if (this.#packer === null) return this.#first
    this.#owner.onMade()
    return new ReadElements(() => this.#owner.onTaken(), this.#typeName, this.#packer.finish(), this.#warnings)
  }

  #read(value: unknown): void {
    // A list in the list would be flattened, null be an empty message.
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new NotPlain()
    const { message, unknownFields } = readJson(this.#typeName, value, undefined, STEPS_ABOVE)
    if (unknownFields.length > 0) throw new NotPlain()
    validateMessage(this.#typeName, message, undefined, this.#warnings)
    this.#packer!.add(message)
  }
}
