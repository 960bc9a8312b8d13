/**
 * A fixed piece of work to divide by, so that figures of different machines and days can be compared. What a bench reports is printed,
 * and told to `main.ts` if that started it.
 */

/** One measured thing: nanoseconds of an operation, and how many passes of the reference loop that is. */
export interface Figure {
  readonly name: string
  readonly ns: number
  readonly ratio: number
}

/** Set by `main.ts --smoke`: once is enough to see that it runs. */
const SMOKE = process.env['REMORA_MICRO_SMOKE'] !== undefined
const WARM_UP = SMOKE ? 0 : 5
const ROUNDS = SMOKE ? 1 : 12
const REFERENCE_PASSES = 20_000
const TEXT = 'x-forwarded-for: 10.0.0.1, 10.0.0.2'

export function referenceNs(): number {
  return bestNs(reference, REFERENCE_PASSES)
}

/** Nanoseconds per operation of `run`, which does `operations`: the best of several rounds after warming up. */
export function bestNs(run: () => unknown, operations: number, rounds = ROUNDS): number {
  for (let i = 0; i < WARM_UP; i++) run()
  let best = Number.POSITIVE_INFINITY
  for (let i = 0; i < rounds; i++) best = Math.min(best, elapsed(run))
  return best / operations
}

/** Measures and reports `run`, in turns with the reference loop: what slows the machine down meets both. */
export function measure(name: string, run: () => unknown, operations: number): void {
  for (let i = 0; i < WARM_UP; i++) {
    run()
    reference()
  }
  let own = Number.POSITIVE_INFINITY
  let fixed = Number.POSITIVE_INFINITY
  for (let i = 0; i < ROUNDS; i++) {
    own = Math.min(own, elapsed(run))
    fixed = Math.min(fixed, elapsed(reference))
  }
  report(name, own / operations, fixed / REFERENCE_PASSES)
}

export function report(name: string, ns: number, reference: number): void {
  const figure: Figure = { name, ns, ratio: ns / reference }
  if (process.send === undefined)
    console.log(`${name.padEnd(58)} ${ns.toFixed(0).padStart(7)} ns  ${figure.ratio.toFixed(2).padStart(7)} ref`)
  else process.send(figure)
}

function reference(): number {
  let sum = 0
  for (let k = 0; k < REFERENCE_PASSES; k++) {
    for (let i = 0; i < TEXT.length; i++) sum = (Math.imul(sum, 31) + TEXT.charCodeAt(i)) | 0
  }
  return sum
}

function elapsed(run: () => unknown): number {
  const start = process.hrtime.bigint()
  run()
  return Number(process.hrtime.bigint() - start)
}
