import { compileRegex, type Regex } from '../base/regex.ts'
import { xxHash64 } from '../base/xxhash64.ts'
import type { HeaderBlock } from '../codec/header-block.ts'
import type { StreamInfo } from '../telemetry/stream-info.ts'
import { cookieValue, makeSetCookie } from './cookies.ts'
import { queryValue } from './match.ts'
import type { HashPolicyConfig } from './route-config.ts'
import { seededXxHash64 } from './seeded-hash.ts'

/** Hash of a request for ring hash and maglev; `hash` null = no policy gave one. */
export interface HashResult {
  hash: bigint | null
  /** Set-Cookie value for the response when a cookie policy made a new cookie; '' otherwise. */
  responseCookie: string
}

const MASK = (1n << 64n) - 1n

/** source/common/http/hash_policy.cc: policies in order, combined as rotl(hash, 1) ^ new; a terminal one ends the list once there is a hash. */
export class HashPolicies {
  readonly #policies: readonly { config: HashPolicyConfig; regex: Regex | null }[]
  /** Requests are handled one after the other: the result lives until the next call. */
  readonly #result: HashResult = { hash: null, responseCookie: '' }

  constructor(configs: readonly HashPolicyConfig[]) {
    this.#policies = configs.map(config => ({
      config,
      regex: config.kind === 'header' && config.rewrite !== null ? compileRegex(config.rewrite.pattern) : null,
    }))
  }

  hash(h: HeaderBlock, info: StreamInfo): HashResult {
    const result = this.#result
    result.hash = null
    result.responseCookie = ''
    for (let i = 0; i < this.#policies.length; i++) {
      const { config, regex } = this.#policies[i]!
      const value = this.#value(config, regex, h, info)
      if (value !== null) {
        const old: bigint | null = result.hash
        result.hash = old === null ? value : (((old << 1n) & MASK) | (old >> 63n)) ^ value
      }
      if (config.terminal && result.hash !== null) break
    }
    return result
  }

  #value(config: HashPolicyConfig, regex: Regex | null, h: HeaderBlock, info: StreamInfo): bigint | null {
    switch (config.kind) {
      case 'header':
        return headerHash(config, regex, h)
      case 'cookie':
        return this.#cookieHash(config, h, info)
      case 'sourceIp': {
        const address = info.client ?? info.connection?.remote
        return address === undefined || address.port === 0 ? null : xxHash64(address.ip)
      }
      case 'query': {
        const mark = h.path.indexOf('?')
        const value = mark < 0 ? undefined : queryValue(h.path, mark + 1, config.name)
        return value === undefined ? null : xxHash64(value)
      }
      case 'filterState': {
        const state = info.filterState
        const value = state !== null && Object.hasOwn(state, config.key) ? state[config.key] : undefined
        // A filter state object without a hash of its own gives none.
        return typeof value === 'string' ? xxHash64(value) : null
      }
    }
  }

  #cookieHash(config: Extract<HashPolicyConfig, { kind: 'cookie' }>, h: HeaderBlock, info: StreamInfo): bigint | null {
    const value = cookieValue(h, config.name)
    if (value !== undefined && value !== '') return xxHash64(value)
    if (config.ttl < 0) return null
    // Filter::addDownstreamSetCookie: the hash of the two connection addresses, in hex.
    const connection = info.connection
    const addresses = connection === null ? '' : connection.remote.text + connection.local.text
    const made = xxHash64(addresses).toString(16)
    this.#result.responseCookie = makeSetCookie(
      config.name,
      made,
      config.path,
      Math.trunc(config.ttl / 1000),
      config.attributes,
    )
    return xxHash64(made)
  }
}

/** Several values are hashed sorted, so that their order does not matter. */
function headerHash(
  config: Extract<HashPolicyConfig, { kind: 'header' }>,
  regex: Regex | null,
  h: HeaderBlock,
): bigint | null {
  const name = config.name === 'host' ? ':authority' : config.name
  const first = h.get(name)
  if (first === undefined) return null
  const list = h.list
  let values: string[] | null = null
  let seen = 0
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] !== name || ++seen < 2) continue
    values ??= [first]
    values.push(list[i + 1]!)
  }
  const substitution = config.rewrite?.substitution ?? ''
  const rewrite = (value: string): string => (regex === null ? value : regex.replaceAll(value, substitution))
  if (values === null) return xxHash64(rewrite(first))
  const sorted = values.map(rewrite).sort()
  // HashUtil::xxHash64(span): each value's hash seeds the next.
  let hash = 0n
  for (const value of sorted) hash = seededXxHash64(value, hash)
  return hash
}
