import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const LIMIT_MS = 3000

/** Lines of an access log that carry one of the request ids, once there is one for each; fewer after three seconds. */
export async function accessLogLines(path: string, requestIds: readonly string[]): Promise<string[]> {
  const deadline = performance.now() + LIMIT_MS
  for (;;) {
    const lines = read(path).filter(line => requestIds.some(id => line.includes(`id=${id}`)))
    if (lines.length >= requestIds.length || performance.now() > deadline) return lines
    // The proxy writes its log in intervals of 50 ms.
    await sleep(20)
  }
}

function read(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n')
  } catch {
    return []
  }
}
