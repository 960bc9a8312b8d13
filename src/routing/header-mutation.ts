import { type HeaderBlock, internName } from '../codec/header-block.ts'
import { addCopy, type InlineHeader, inlineHeader, Side } from '../codec/inline-header.ts'
import type { FormatContext } from '../telemetry/format-context.ts'
import { compileFormat, type TextFormatter } from '../telemetry/formatter.ts'
import type { HeaderAddConfig } from './route-config.ts'

/** One level of header mutations, compiled (source/common/router/header_parser.cc HeaderParser). */
export class HeaderMutation {
  readonly #adds: readonly CompiledAdd[]
  readonly #removes: readonly string[]

  constructor(adds: readonly HeaderAddConfig[], removes: readonly string[]) {
    this.#adds = adds.map(add => new CompiledAdd(add))
    this.#removes = removes.map(internName)
  }

  get empty(): boolean {
    return this.#adds.length === 0 && this.#removes.length === 0
  }

  /**
   * Removals first; then all values are made from the headers as they are now, overwrites happen, and additions last: a value
   * never sees another addition of its own level, and an appended value survives an overwrite of the same name.
   */
  apply(h: HeaderBlock, context: FormatContext): void {
    const removes = this.#removes
    for (let i = 0; i < removes.length; i++) h.remove(removes[i]!)
    const adds = this.#adds
    if (adds.length === 1) {
      const add = adds[0]!
      const value = add.value(context)
      if (add.wanted(h, value)) put(h, add, value)
      return
    }
    for (let i = 0; i < adds.length; i++) {
      const add = adds[i]!
      const value = add.value(context)
      add.pending = add.wanted(h, value) ? value : null
    }
    for (let i = 0; i < adds.length; i++) if (adds[i]!.overwrites) flush(h, adds[i]!)
    for (let i = 0; i < adds.length; i++) if (!adds[i]!.overwrites) flush(h, adds[i]!)
  }
}

/** Mutations of several levels in the order they apply; null when no level has any. */
export function joinMutations(levels: readonly HeaderMutation[]): readonly HeaderMutation[] | null {
  const used = levels.filter(level => !level.empty)
  return used.length === 0 ? null : used
}

function flush(h: HeaderBlock, add: CompiledAdd): void {
  const value = add.pending
  add.pending = null
  if (value !== null) put(h, add, value)
}

function put(h: HeaderBlock, add: CompiledAdd, value: string): void {
  // HeaderMap::setReferenceKey: the new value stands at the end, not where the old one was.
  if (add.overwrites) h.remove(add.name)
  addCopy(h, add.name, add.inline, value, h.status === 0 ? Side.Request : Side.Response)
}

class CompiledAdd {
  readonly name: string
  readonly inline: InlineHeader | null
  readonly overwrites: boolean
  /** Value of the running `apply`, which is synchronous; null between. */
  pending: string | null = null
  readonly #action: HeaderAddConfig['action']
  readonly #keepEmpty: boolean
  readonly #constant: string | null
  readonly #format: TextFormatter

  constructor(config: HeaderAddConfig) {
    this.name = internName(config.name)
    this.inline = inlineHeader(this.name)
    this.overwrites = config.action === 'overwrite' || config.action === 'overwriteIfExists'
    this.#action = config.action
    this.#keepEmpty = config.keepEmpty
    // Missing values print nothing, not `-`: a header made of them alone is not added.
    this.#format = compileFormat(config.value, true)
    this.#constant = this.#format.constant
  }

  value(context: FormatContext): string {
    return this.#constant ?? clean(this.#format.format(context))
  }

  wanted(h: HeaderBlock, value: string): boolean {
    if (value === '' && !this.#keepEmpty) return false
    if (this.#action === 'ifAbsent') return !h.has(this.name)
    return this.#action !== 'overwriteIfExists' || h.has(this.name)
  }
}

/** Operators may carry bytes that would split a message (metadata, environment, decoded query): RFC 9110 §5.5 forbids them. */
function clean(value: string): string {
  return /[\0\r\n]/.test(value) ? value.replace(/[\0\r\n]/g, '') : value
}
