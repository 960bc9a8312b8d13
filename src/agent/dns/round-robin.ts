/** A random number of 16 bits. */
export type NextId = () => number

/**
 * Shuffles in place as kube-dns and Istio do (coredns' loadbalance plugin), so that clients that take the first address spread.
 * The steps are Istio's own: with the same numbers it gives the same order.
 */
export function shuffle<T>(entries: T[], next: NextId): void {
  const length = entries.length
  if (length < 2) return
  if (length === 2) {
    if (next() % 2 === 0) swap(entries, 0, 1)
    return
  }
  for (let i = 0; i < length * ((next() % 4) + 1); i++) {
    const q = next() % length
    let p = next() % length
    if (q === p) p = (p + 1) % length
    swap(entries, q, p)
  }
}

function swap<T>(entries: T[], a: number, b: number): void {
  const kept = entries[a] as T
  entries[a] = entries[b] as T
  entries[b] = kept
}
