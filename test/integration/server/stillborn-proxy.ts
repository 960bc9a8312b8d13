/** The proxy as bin/envoy runs it, whose first worker thread ends when it is sent its configuration, before it can read it. */
import type { Worker } from 'node:worker_threads'

process.once('worker', (worker: Worker) => {
  const post = worker.postMessage.bind(worker)
  worker.postMessage = (message: { type?: string }) => {
    if (message.type === 'config') void worker.terminate()
    else post(message)
  }
})

await import('../../../src/cmd/envoy.ts')
