/** By so much a ratio may be above its baseline. */
export const TOLERANCE = 0.1

export interface Change {
  readonly name: string
  readonly before: number
  readonly after: number
}

/** What got slower by more than the tolerance, worst first. What the baseline does not know is no regression. */
export function compare(baseline: Readonly<Record<string, number>>, ratios: ReadonlyMap<string, number>): Change[] {
  const worse: Change[] = []
  for (const [name, after] of ratios) {
    const before = baseline[name]
    if (before !== undefined && after > before * (1 + TOLERANCE)) worse.push({ name, before, after })
  }
  return worse.sort((a, b) => b.after / b.before - a.after / a.before)
}
