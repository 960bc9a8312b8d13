import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'

/** The access log of the Node proxies: a line per request, written once a second. */
export class NodeLog {
  #lines = ''

  constructor(path: string) {
    const stream = createWriteStream(path, { flags: 'a' })
    setInterval(() => {
      if (this.#lines === '') return
      stream.write(this.#lines)
      this.#lines = ''
    }, 1000)
  }

  add(method: string, path: string, status: number, id: string, started: number): void {
    const took = (performance.now() - started).toFixed(1)
    this.#lines += `[${new Date().toISOString()}] "${method} ${path}" ${status} ${took} "${id}"\n`
  }
}

export const newRequestId = randomUUID
