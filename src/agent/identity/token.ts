import { readFileSync } from 'node:fs'
import { log } from '../log.ts'

/** Projected by the kubelet (audience istio-ca) and replaced by it before it expires. */
export const TOKEN_PATH = './var/run/secrets/tokens/istio-token'

/**
 * The token of this pod, read anew for every call or stream, because it is replaced while the agent runs. '' when there is
 * none: the client certificate may be enough (a VM after a reboot), so this only warns.
 */
export function readToken(path: string = TOKEN_PATH): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    log.warn(`failed to fetch token from file: ${(error as Error).message}`)
    return ''
  }
}
