import { createServer } from 'node:net'

/** Loopback ports of the bench: below the range of outgoing connections, so that none of these can take one first. */
export class Ports {
  #next: number

  constructor(first: number) {
    this.#next = first
  }

  /** A port nobody listens on now; never handed out twice by this object. */
  async take(): Promise<number> {
    for (let tries = 0; tries < 2000; tries++) {
      const port = this.#next++
      if (await isFree(port)) return port
    }
    throw new Error(`no free port near ${this.#next}`)
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}
