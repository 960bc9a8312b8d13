import { lazyRe2 } from './lazy-modules.ts'

/** Instructions of re2js, a port of Go's regexp/syntax. Only read here: the package does not publish them. */
const Op = {
  Alt: 1,
  AltMatch: 2,
  Capture: 3,
  Empty: 4,
  Fail: 5,
  Match: 6,
  Nop: 7,
  Rune: 8,
  Rune1: 9,
  Any: 10,
  AnyNotNl: 11,
}
const BEGIN_TEXT = 4
const END_TEXT = 8

interface Inst {
  readonly op: number
  out: number
  /** second branch of Alt, position of Empty */
  arg: number
  readonly runes: ArrayLike<number>
}

/**
 * RE2::ProgramSize of the C++ library for a pattern that `regexError` took: what Envoy holds against max_program_size. The program
 * of re2js is brought into RE2's form (a byte range an instruction, latin1; anchors and a required prefix taken off; an unanchored
 * start) and flattened as prog.cc does, list by list. A test holds it to sizes that the real Envoy told.
 */
export function regexProgramSize(pattern: string): number {
  const bytes = Buffer.from(pattern, 'utf8').toString('latin1')
  const compiled = lazyRe2().RE2JS.compile(bytes) as unknown as {
    re2Input: { prog: { inst: readonly Inst[]; start: number } }
  }
  const { inst, start } = compiled.re2Input.prog
  return new Flattener(
    inst.map(({ op, out, arg, runes }) => ({ op, out, arg, runes })),
    start,
  ).size()
}

/** A bound that costs nothing, for the many patterns that are far from any limit; Infinity = only measuring tells. */
export function regexProgramSizeAtMost(pattern: string): number {
  // Repetitions, and classes that a few characters name, are what makes a program larger than its text.
  return /\{|\\[pP]|\[:/.test(pattern) ? Number.POSITIVE_INFINITY : 4 * pattern.length + 8
}

class Flattener {
  readonly #inst: Inst[]
  #start: number
  #anchored = false
  /** instruction of the `.*?` in front; -1 = anchored */
  #loop = -1
  readonly #roots = new Set<number>()
  readonly #predecessors = new Map<number, number[]>()

  constructor(inst: Inst[], start: number) {
    this.#inst = inst
    for (const i of inst) {
      i.out = this.#behindNops(i.out)
      if (i.op === Op.Alt || i.op === Op.AltMatch) i.arg = this.#behindNops(i.arg)
    }
    this.#start = this.#behindNops(start)
    this.#dropAnchors()
  }

  size(): number {
    if (this.#inst[this.#start]!.op === Op.Fail || this.#neverMatches()) return 1
    if (!this.#anchored) {
      this.#loop = this.#inst.length
      const any = this.#loop + 1
      this.#inst.push({ op: Op.Alt, out: this.#start, arg: any, runes: [] })
      this.#inst.push({ op: Op.Any, out: this.#loop, arg: 0, runes: [] })
    }
    this.#markSuccessors()
    this.#markDominators()
    let size = 1
    for (const root of this.#roots) size += this.#emit(root)
    return size
  }

  #behindNops(id: number): number {
    let at = id
    for (let i = 0; i < this.#inst.length && this.#inst[at]!.op === Op.Nop; i++) at = this.#inst[at]!.out
    return at
  }

  /** IsAnchorStart, IsAnchorEnd and Regexp::RequiredPrefix. */
  #dropAnchors(): void {
    const inst = this.#inst
    const before = this.#incoming()
    let at = this.#start
    let last = -1
    while (inst[at]!.op === Op.Capture && before[at]!.length <= 1) {
      last = at
      at = inst[at]!.out
    }
    const first = inst[at]!
    if (first.op === Op.Empty && first.arg === BEGIN_TEXT && before[at]!.length <= 1) {
      this.#anchored = true
      if (last >= 0) inst[last]!.out = first.out
      else {
        this.#start = first.out
        let literal = this.#start
        while (inst[literal]!.op === Op.Rune1 && before[literal]!.length === 1) literal = inst[literal]!.out
        if (literal !== this.#start) {
          // What is left after the prefix is a program of its own, without the anchor.
          this.#start = literal
          this.#anchored = false
        }
      }
    }
    const match = inst.findIndex(i => i.op === Op.Match)
    let tail = match
    let from = before[tail] ?? []
    while (from.length === 1 && inst[from[0]!]!.op === Op.Capture) {
      tail = from[0]!
      from = before[tail]!
    }
    const end = from.length === 1 ? inst[from[0]!]! : null
    if (end === null || end.op !== Op.Empty || end.arg !== END_TEXT) return
    for (const i of inst) {
      if (i.out === from[0]) i.out = end.out
      if (i.op === Op.Alt && i.arg === from[0]) i.arg = end.out
    }
    if (this.#start === from[0]) this.#start = end.out
  }

  /** By instruction: who leads to it. */
  #incoming(): number[][] {
    const all: number[][] = this.#inst.map(() => [])
    const reached = new Set<number>()
    const stack = [this.#start]
    while (stack.length > 0) {
      const id = stack.pop()!
      if (reached.has(id)) continue
      reached.add(id)
      const i = this.#inst[id]!
      if (i.op === Op.Match || i.op === Op.Fail) continue
      all[i.out]!.push(id)
      stack.push(i.out)
      if (i.op !== Op.Alt) continue
      all[i.arg]!.push(id)
      stack.push(i.arg)
    }
    return all
  }

  #neverMatches(): boolean {
    const stack = [this.#start]
    const reached = new Set<number>()
    while (stack.length > 0) {
      const id = stack.pop()!
      if (reached.has(id)) continue
      reached.add(id)
      const i = this.#inst[id]!
      if (i.op === Op.Match) return false
      if (i.op === Op.Fail || (i.op === Op.Rune && ranges(i) === 0)) continue
      stack.push(i.out)
      if (i.op === Op.Alt) stack.push(i.arg)
    }
    return true
  }

  #markSuccessors(): void {
    if (this.#loop >= 0) this.#roots.add(this.#loop)
    this.#roots.add(this.#start)
    const reached = new Set<number>()
    const stack = [this.#loop >= 0 ? this.#loop : this.#start]
    while (stack.length > 0) {
      const id = stack.pop()!
      if (reached.has(id)) continue
      reached.add(id)
      const i = this.#inst[id]!
      if (i.op === Op.Match || i.op === Op.Fail) continue
      if (i.op === Op.Alt) {
        this.#precede(i.out, id)
        this.#precede(i.arg, id)
        stack.push(i.arg)
      } else this.#roots.add(i.out)
      stack.push(i.out)
    }
  }

  #precede(id: number, by: number): void {
    const all = this.#predecessors.get(id)
    if (all === undefined) this.#predecessors.set(id, [by])
    else all.push(by)
  }

  #markDominators(): void {
    const sorted = [...this.#roots].sort((a, b) => b - a)
    for (const root of sorted) {
      if (root === this.#start || root === this.#loop) continue
      const reached = this.#list(root, () => {})
      for (const id of reached) {
        if ((this.#predecessors.get(id) ?? []).some(p => !reached.has(p))) this.#roots.add(id)
      }
    }
  }

  /** What a list holds: everything without input from here, up to the next roots. */
  #list(root: number, onEntry: (id: number, isRoot: boolean) => void): Set<number> {
    const reached = new Set<number>()
    const stack = [root]
    while (stack.length > 0) {
      const id = stack.pop()!
      if (reached.has(id)) continue
      reached.add(id)
      const isRoot = id !== root && this.#roots.has(id)
      onEntry(id, isRoot)
      const i = this.#inst[id]!
      if (isRoot || i.op !== Op.Alt) continue
      stack.push(i.arg, i.out)
    }
    return reached
  }

  #emit(root: number): number {
    let size = 0
    this.#list(root, (id, isRoot) => {
      const i = this.#inst[id]!
      if (isRoot) size++
      else if (i.op !== Op.Alt) size += ranges(i)
      else if (id !== this.#loop && this.#isAltMatch(id)) size++
    })
    return size
  }

  /** `.*` of any byte just before the match. */
  #isAltMatch(id: number): boolean {
    const { out, arg } = this.#inst[id]!
    const loops = (a: number, b: number): boolean =>
      this.#inst[a]!.op === Op.Any && this.#inst[a]!.out === id && this.#inst[b]!.op === Op.Match
    return loops(out, arg) || loops(arg, out)
  }
}

/** Byte ranges of an instruction; 1 for those that read nothing. */
function ranges(i: Inst): number {
  if (i.op === Op.AnyNotNl) return 2
  if (i.op !== Op.Rune || i.runes.length === 1) return 1
  const letters = new Set<number>()
  const pairs: [number, number][] = []
  for (let k = 0; k + 1 < i.runes.length; k += 2) {
    const lo = i.runes[k]!
    const hi = Math.min(i.runes[k + 1]!, 0xff)
    if (lo > 0xff) continue
    pairs.push([lo, hi])
    for (let c = Math.max(lo, 65); c <= Math.min(hi, 122); c++) letters.add(c)
  }
  // A class with both cases of its letters has one range for both.
  let folds = true
  for (let c = 65; c <= 90; c++) if (letters.has(c) !== letters.has(c + 32)) folds = false
  return pairs.filter(([lo, hi]) => !(folds && lo >= 65 && hi <= 90)).length
}
