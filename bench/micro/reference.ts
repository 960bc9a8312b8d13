/** A fixed piece of work to divide by, so that figures of different machines and days can be compared. */
export function referenceNs(): number {
  const text = 'x-forwarded-for: 10.0.0.1, 10.0.0.2'
  const run = (): number => {
    let sum = 0
    for (let k = 0; k < 20_000; k++) {
      for (let i = 0; i < text.length; i++) sum = (Math.imul(sum, 31) + text.charCodeAt(i)) | 0
    }
    return sum
  }
  return bestNs(run, 20_000)
}

/** Nanoseconds per operation of `run`, which does `operations`: the best of several rounds after warming up. */
export function bestNs(run: () => unknown, operations: number, rounds = 12): number {
  for (let i = 0; i < 5; i++) run()
  let best = Number.POSITIVE_INFINITY
  for (let i = 0; i < rounds; i++) {
    const start = process.hrtime.bigint()
    run()
    best = Math.min(best, Number(process.hrtime.bigint() - start))
  }
  return best / operations
}

export function report(name: string, ns: number, reference: number): void {
  console.log(`${name.padEnd(58)} ${ns.toFixed(0).padStart(7)} ns  ${(ns / reference).toFixed(2).padStart(7)} ref`)
}
