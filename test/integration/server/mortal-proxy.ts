/**
 * The proxy as bin/envoy runs it, in a process of its own whose worker threads can be ended from outside: a message with the index
 * of a worker terminates its thread. Production code has no such door; the hook is Node's own `worker` event.
 */
import type { Worker } from 'node:worker_threads'

const workers: Worker[] = []
process.on('worker', worker => workers.push(worker))
process.on('message', (nth: number) => void workers[nth]?.terminate())

await import('../../../src/cmd/envoy.ts')
