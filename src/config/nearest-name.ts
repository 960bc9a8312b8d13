/** The candidate closest to `wrong` by edit distance, for "did you mean"; null when none is near. */
export function nearestName(wrong: string, candidates: Iterable<string>): string | null {
  // Input may be hostile: names longer than any real field are not worth quadratic work.
  if (wrong.length > 120) return null
  const plain = normal(wrong)
  let best: string | null = null
  // Beyond six edits even two long type names are only related, not mistaken for each other.
  let bestDistance = Math.min(6, Math.max(2, Math.floor(plain.length / 3))) + 1
  for (const c of candidates) {
    const d = distance(plain, normal(c), bestDistance)
    if (d < bestDistance) {
      best = c
      bestDistance = d
    }
  }
  return best
}

function normal(name: string): string {
  return name.replace(/[_-]/g, '').toLowerCase()
}

/** Levenshtein, or `limit` when it is not below it. */
function distance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return Math.min(row[b.length]!, limit)
}
