import { decodeMessage } from '../../src/config/binary.ts'
import { encodeMessage } from '../../src/config/binary-writer.ts'
import type { envoy } from '../../src/config/gen/messages.d.ts'
import { toJson } from '../../src/config/json-writer.ts'

/** Word of an h2 upstream's script that answers with this CheckResponse: `check:<base64>`. */
export function checkWord(response: envoy.service.auth.v3.CheckResponse): string {
  return `check:${Buffer.from(encodeMessage('envoy.service.auth.v3.CheckResponse', response)).toString('base64')}`
}

/** A CheckRequest in its gRPC frame as JSON with sorted keys: addresses as `ip:port`, without what no two runs have in common. */
export function checkRequestText(frame: Buffer): string {
  const { message } = decodeMessage('envoy.service.auth.v3.CheckRequest', frame.subarray(5))
  return JSON.stringify(sorted(toJson('envoy.service.auth.v3.CheckRequest', message)))
}

/** Word of an h2 upstream's script that answers with this RateLimitResponse: `limit:<base64>`. */
export function limitWord(response: envoy.service.ratelimit.v3.RateLimitResponse): string {
  return `limit:${Buffer.from(encodeMessage('envoy.service.ratelimit.v3.RateLimitResponse', response)).toString('base64')}`
}

/** A RateLimitRequest in its gRPC frame as JSON with sorted keys. */
export function limitRequestText(frame: Buffer): string {
  const type = 'envoy.service.ratelimit.v3.RateLimitRequest'
  return JSON.stringify(sorted(toJson(type, decodeMessage(type, frame.subarray(5)).message)))
}

function sorted(value: unknown, key = ''): unknown {
  if (Array.isArray(value)) return value.map(item => sorted(item))
  if (typeof value !== 'object' || value === null) {
    if (key === 'time') return '{time}'
    if (key === 'id') return '{id}'
    return value
  }
  const fields = value as Record<string, unknown>
  if (key === 'socket_address') return `${String(fields['address'])}:${String(fields['port_value'])}`
  return Object.fromEntries(
    Object.keys(fields)
      .sort()
      .map(name => [name, sorted(fields[name], name)]),
  )
}
