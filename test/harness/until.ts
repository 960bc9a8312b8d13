/** Only what fails takes this long: the machine may be slow, and busy with other tests. */
const PATIENCE_MS = 40_000

/** Polls until true; a rejection is a no. Rejects when that takes too long, with `what` and the last rejection. */
export async function until(
  done: () => boolean | Promise<boolean>,
  what: string | (() => string) = 'condition',
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const deadline = performance.now() + patienceMs
  let cause: unknown
  for (;;) {
    try {
      if (await done()) return
      cause = undefined
    } catch (error) {
      cause = error
    }
    if (performance.now() > deadline) {
      throw new Error(`not within ${patienceMs} ms: ${typeof what === 'string' ? what : what()}`, { cause })
    }
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

/** What `read` gives as soon as it is `wanted`, or what it gave last when that takes too long: for the assertion to show. */
export async function settled<T>(read: () => T | Promise<T>, wanted: (value: T) => boolean): Promise<T> {
  let last: { readonly value: T } | undefined
  const done = async (): Promise<boolean> => {
    last = { value: await read() }
    return wanted(last.value)
  }
  const late = await until(done).catch((error: unknown) => error)
  if (last === undefined) throw late
  return (last as { readonly value: T }).value
}
