import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { print } from '../base/print.ts'
import { drawTicketSecret } from '../io/transport-sockets/ticket-keys.ts'

/**
 * Three semi-spaces of 2 MB, for a start without bin/envoy, whose --max-semi-space-size=2 holds for all threads and wins. Larger ones are
 * collected less often, but what is allocated does not stay in the processor's cache then: HTTP/2 costs 3 % more with 8 MB.
 */
const YOUNG_GENERATION_MB = 6

/**
 * The threads themselves. A thread needs nothing but code until its birth message comes, so it can boot while main still loads and
 * reads its configuration: half of the time to LIVE. Imports little, as it runs before everything else.
 */
const booting: Worker[] = []

/** Begins to boot `count` workers; `takeThread` hands them out. Whoever calls it and then fails ends the process. */
export function bootThreads(count: number): void {
  for (let i = 0; i < count; i++) {
    const worker = boot(i)
    // Nobody listens yet: `takeThread` sees that it is gone.
    worker.on('error', () => {})
    booting[i] = worker
  }
}

/** The thread of worker `index`, booted already if there is one; it waits for its `WorkerBirth` as first message. */
export function takeThread(index: number): Worker {
  const early = booting[index]
  delete booting[index]
  if (early === undefined || early.threadId < 0) return boot(index)
  early.removeAllListeners('error')
  return early
}

function boot(index: number): Worker {
  drawTicketSecret()
  const worker = new Worker(workerFile(), {
    name: `wrk:worker_${index}`,
    stdout: true,
    stderr: true,
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
  })
  // Logs are messages and files; this is what Node has to say. Left to pipe it, Node makes streams of our own stdout and stderr, 3 ms.
  worker.stdout.on('data', (text: Uint8Array) => print(1, text))
  worker.stderr.on('data', (text: Uint8Array) => print(2, text))
  return worker
}

/** The TypeScript source in a clone, the built file beside this one in the package. */
function workerFile(): string {
  const here = import.meta.url
  return fileURLToPath(new URL(here.endsWith('.ts') ? '../worker/main.ts' : './worker.cjs', here))
}
