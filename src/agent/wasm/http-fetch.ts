import { setTimeout as sleep } from 'node:timers/promises'
import { Backoff } from '../backoff.ts'
import { Logger } from '../log.ts'
import { deadlineAfter } from '../outgoing-http.ts'
import { type HttpAnswer, type HttpClient, TOO_LARGE } from './http-client.ts'
import type { WasmOptions } from './options.ts'
import { unbox } from './unpack.ts'

const log = new Logger('wasm')

/** Those of 5xx that will not pass. */
const FINAL = [501, 505, 511]

/** Downloads a module by GET, out of gzip and tar if it is in them. `deadline` ends all tries. Rejects with Error. */
export class HttpFetcher {
  readonly #client: HttpClient
  readonly #options: WasmOptions
  readonly #firstWaitMs: number

  constructor(client: HttpClient, options: WasmOptions, firstWaitMs = 500) {
    this.#client = client
    this.#options = options
    this.#firstWaitMs = firstWaitMs
  }

  async fetch(url: URL, insecure: boolean, deadline: AbortSignal): Promise<Buffer> {
    const { maxTries, maxBytes, requestTimeoutMs } = this.#options
    const backoff = new Backoff(this.#firstWaitMs)
    let tries = 0
    let last = '<nil>'
    while (tries < maxTries && !(tries > 0 && deadline.aborted)) {
      if (tries++ > 0) await sleep(backoff.next(), undefined, { signal: deadline }).catch(() => {})
      const signal = AbortSignal.any([deadline, deadlineAfter(requestTimeoutMs)])
      let answer: HttpAnswer
      try {
        answer = await this.#client.send({ url, insecure, signal, maxBody: maxBytes })
      } catch (error) {
        last = (error as Error).message
        log.debug(`wasm module download request failed: ${last}`)
        if ((error as NodeJS.ErrnoException).code === TOO_LARGE) break
        continue
      }
      if (answer.status === 200) return await unbox(answer.body, maxBytes)
      last = `wasm module download request failed: status code ${answer.status}`
      if (answer.status < 500 || FINAL.includes(answer.status)) break
    }
    throw new Error(`wasm module download failed after ${tries} attempts, last error: ${last}`)
  }
}
