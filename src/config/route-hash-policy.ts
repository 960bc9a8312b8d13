import { ConfigError } from '../base/errors.ts'
import type { HashPolicyConfig } from '../routing/route-config.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'
import { latin1 } from './matcher.ts'
import { parseRegexRewrite } from './route-reply.ts'

export function parseHashPolicies(
  protos: readonly envoy.config.route.v3.RouteAction_HashPolicy[] | undefined,
  at: FieldPath,
): HashPolicyConfig[] {
  const out: HashPolicyConfig[] = []
  for (let i = 0; i < (protos ?? []).length; i++) {
    const policy = parseHashPolicy(protos![i]!, at.index(i))
    if (policy !== null) out.push(policy)
  }
  return out
}

function parseHashPolicy(proto: envoy.config.route.v3.RouteAction_HashPolicy, at: FieldPath): HashPolicyConfig | null {
  const terminal = proto.terminal ?? false
  if (proto.header !== undefined) {
    const { header_name: name = '', regex_rewrite: rewrite } = proto.header
    const place = at.field('header').field('regex_rewrite')
    const parsed = rewrite === undefined ? null : parseRegexRewrite(rewrite, place)
    return { terminal, kind: 'header', name: name.toLowerCase(), rewrite: parsed }
  }
  if (proto.cookie !== undefined) {
    const { name = '', ttl = -1, path = '', attributes = [] } = proto.cookie
    return {
      terminal,
      kind: 'cookie',
      name: latin1(name),
      ttl,
      path: latin1(path),
      attributes: attributes.map(a => ({ name: latin1(a.name ?? ''), value: latin1(a.value ?? '') })),
    }
  }
  if (proto.connection_properties !== undefined) {
    return proto.connection_properties.source_ip === true ? { terminal, kind: 'sourceIp' } : null
  }
  if (proto.query_parameter !== undefined) {
    return { terminal, kind: 'query', name: latin1(proto.query_parameter.name ?? '') }
  }
  if (proto.filter_state !== undefined) return { terminal, kind: 'filterState', key: proto.filter_state.key ?? '' }
  throw new ConfigError('CONFIG_INVALID', at, 'Unsupported hash policy')
}
