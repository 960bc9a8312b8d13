import { isIP } from 'node:net'
import { ConfigError } from '../base/errors.ts'
import type { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { defineSupport } from '../config/support.ts'
import type { FilterChainMatchConfig } from './filter-chain-match.ts'

type Proto = envoy.config.listener.v3.FilterChainMatch

const support = defineSupport<Proto>('envoy.config.listener.v3.FilterChainMatch', {
  destination_port: 'yes',
  prefix_ranges: 'yes',
  direct_source_prefix_ranges: 'yes',
  source_type: 'yes',
  source_prefix_ranges: 'yes',
  source_ports: 'yes',
  server_names: 'yes',
  transport_protocol: 'yes',
  application_protocols: 'yes',
})

/** `listener`: its address, as errors name it. @throws ConfigError in Envoy's words */
export function parseFilterChainMatch(
  proto: Proto,
  listener: string,
  chain: string,
  at: FieldPath,
  warnings: string[],
): FilterChainMatchConfig {
  if ((proto.address_suffix ?? '') !== '' || proto.suffix_len !== undefined) {
    throw new ConfigError(
      'CONFIG_UNSUPPORTED',
      at,
      `error adding listener '${listener}': filter chain '${chain}' contains unimplemented fields`,
    )
  }
  support.check(proto, at, warnings)
  return {
    destinationPort: proto.destination_port ?? 0,
    prefixRanges: ranges(proto.prefix_ranges, at.field('prefix_ranges')),
    serverNames: (proto.server_names ?? []).map((name, i) => {
      const wildcard = name.startsWith('*.')
      if (name.slice(wildcard ? 1 : 0).includes('*')) {
        throw new ConfigError(
          'CONFIG_INVALID',
          at.field('server_names').index(i),
          `error adding listener '${listener}': partial wildcards are not supported in "server_names"`,
        )
      }
      return (wildcard ? name.slice(1) : name).toLowerCase()
    }),
    transportProtocol: proto.transport_protocol ?? '',
    applicationProtocols: proto.application_protocols ?? [],
    directSourcePrefixRanges: ranges(proto.direct_source_prefix_ranges, at.field('direct_source_prefix_ranges')),
    sourceType: sourceType(proto.source_type),
    sourcePrefixRanges: ranges(proto.source_prefix_ranges, at.field('source_prefix_ranges')),
    sourcePorts: proto.source_ports ?? [],
  }
}

function ranges(protos: readonly envoy.config.core.v3.CidrRange[] | undefined, at: FieldPath): string[] {
  return (protos ?? []).map((range, i) => {
    const ip = range.address_prefix ?? ''
    const family = isIP(ip)
    if (family === 0) throw new ConfigError('CONFIG_INVALID', at.index(i), `malformed IP address: ${ip}`)
    const bits = range.prefix_len ?? 0
    // As Envoy's CidrRange::create: a length beyond the family's is cut down.
    return `${ip.toLowerCase()}/${Math.min(bits, family === 4 ? 32 : 128)}`
  })
}

function sourceType(value: Proto['source_type']): FilterChainMatchConfig['sourceType'] {
  if (value === 'SAME_IP_OR_LOOPBACK' || value === 1) return 'SAME_IP_OR_LOOPBACK'
  return value === 'EXTERNAL' || value === 2 ? 'EXTERNAL' : 'ANY'
}
