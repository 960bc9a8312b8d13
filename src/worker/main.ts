import { parentPort } from 'node:worker_threads'
import type { WorkerBirth } from './messages.ts'
import { startWorker } from './worker.ts'

// The thread boots before main has read its configuration: who it is comes as its first message.
const port = parentPort!
port.once('message', (birth: WorkerBirth) => startWorker(port, birth))
