import { get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { AgentError } from './agent-error.ts'
import { log } from './log.ts'
import { deadlineAfter, refuseUpgrade } from './outgoing-http.ts'

export interface WaitOptions {
  readonly url: string
  readonly timeoutMs: number
  readonly periodMs: number
  readonly requestTimeoutMs: number
}

/**
 * `pilot-agent wait`: the postStart hook that keeps the application's container from starting before its proxy is
 * ready. First attempt after one period, as in Istio. Rejects with AgentError at the timeout, with the last reason.
 */
export async function waitUntilReady(options: WaitOptions): Promise<void> {
  log.info(`Waiting for Envoy proxy to be ready (timeout: ${options.timeoutMs / 1000} seconds)...`)
  const deadline = performance.now() + options.timeoutMs
  let last = 'no attempt was made'
  for (;;) {
    const left = deadline - performance.now()
    await sleep(Math.max(0, Math.min(options.periodMs, left)))
    if (left <= options.periodMs) {
      throw new AgentError(`timeout waiting for Envoy proxy to become ready. Last error: ${last}`)
    }
    const reason = await attempt(options.url, options.requestTimeoutMs)
    if (reason === undefined) {
      log.info('Envoy is ready!')
      return
    }
    last = reason
    log.debug(`Not ready yet: ${reason}`)
  }
}

/** undefined when the answer was 200. */
function attempt(url: string, timeoutMs: number): Promise<string | undefined> {
  return new Promise(resolve => {
    const request = get(url, { agent: false, signal: deadlineAfter(timeoutMs) }, response => {
      response.resume()
      response.on('error', error => resolve(error.message))
      response.on('end', () =>
        resolve(response.statusCode === 200 ? undefined : `HTTP status code ${response.statusCode}`),
      )
    })
    refuseUpgrade(request)
    request.on('error', error => resolve(`Get "${url}": ${error.message}`))
  })
}
