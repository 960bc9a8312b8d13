import { createInterface } from 'node:readline'
import type { ClientCall, ClientResult } from './apps/client.ts'
import type { Child } from './child.ts'

/** The client's application, told what to call. */
export class ClientApplication {
  readonly #child: Child
  readonly #waiting = new Map<number, (result: ClientResult) => void>()
  #next = 0

  constructor(child: Child) {
    this.#child = child
    createInterface({ input: child.stdout }).on('line', line => {
      const { id, ...result } = JSON.parse(line) as ClientResult & { id: number }
      this.#waiting.get(id)?.(result)
      this.#waiting.delete(id)
    })
    void child.exited.then(() => {
      for (const resolve of this.#waiting.values()) resolve({ error: 'the client application ended', ms: 0 })
      this.#waiting.clear()
    })
  }

  call(call: ClientCall): Promise<ClientResult> {
    return new Promise(resolve => {
      this.#waiting.set(this.#next++, resolve)
      this.#child.stdin.write(`${JSON.stringify(call)}\n`)
    })
  }
}
