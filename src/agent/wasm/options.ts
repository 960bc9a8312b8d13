import { isIP } from 'node:net'
import { AgentError } from '../agent-error.ts'
import { durationFrom } from '../go-duration.ts'
import type { Env } from '../node-identity.ts'

/** Istio's variables for modules that the agent fetches (pkg/wasm/options.go). */
export interface WasmOptions {
  /** How long a module is kept that no resource asks for any more. */
  readonly moduleExpiryMs: number
  readonly purgeIntervalMs: number
  /** host or host:port whose certificate is not verified; `*`: of all. */
  readonly insecureRegistries: ReadonlySet<string>
  /** One request of several tries, http and https only. */
  readonly requestTimeoutMs: number
  /** Tries, not tries after the first. */
  readonly maxTries: number
  /** Of a module, of what it is packed in, and of that unpacked. Bytes. */
  readonly maxBytes: number
  /** `ip/bits`, besides those that are never connected to. */
  readonly blockedCidrs: readonly string[]
}

/** Throws AgentError with the name of the variable. */
export function wasmOptionsOf(env: Env): WasmOptions {
  return {
    // Zero is Istio's word for the default.
    moduleExpiryMs: durationFrom(env, 'WASM_MODULE_EXPIRY', 0) || 86_400_000,
    purgeIntervalMs: durationFrom(env, 'WASM_PURGE_INTERVAL', 0) || 3_600_000,
    insecureRegistries: new Set((env.WASM_INSECURE_REGISTRIES ?? '').split(',').filter(host => host !== '')),
    requestTimeoutMs: durationFrom(env, 'WASM_HTTP_REQUEST_TIMEOUT', 15_000) || 5000,
    maxTries: integerFrom(env, 'WASM_HTTP_REQUEST_MAX_RETRIES', 5),
    maxBytes: integerFrom(env, 'ISTIO_WASM_MAX_BINARY_SIZE_BYTES', 256 << 20),
    blockedCidrs: cidrsFrom(env, 'BLOCKED_CIDRS_IN_WASM_FETCH'),
  }
}

function integerFrom(env: Env, variable: string, byDefault: number): number {
  const text = env[variable]
  if (text === undefined || text === '') return byDefault
  if (!/^\d{1,15}$/.test(text))
    throw new AgentError(`${variable}=${text}: expected a whole number of at most 15 digits`)
  return Number(text)
}

function cidrsFrom(env: Env, variable: string): string[] {
  const cidrs = (env[variable] ?? '')
    .split(',')
    .map(cidr => cidr.trim())
    .filter(cidr => cidr !== '')
  for (const cidr of cidrs) {
    const [ip = '', bits = '', ...rest] = cidr.split('/')
    const version = isIP(ip)
    const valid = version !== 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128)
    if (!valid || rest.length > 0) throw new AgentError(`${variable}: "${cidr}" is no CIDR range such as 10.0.0.0/8`)
  }
  return cidrs
}
