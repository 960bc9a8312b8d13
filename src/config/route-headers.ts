import { ConfigError } from '../base/errors.ts'
import type { HeaderAddConfig, HeaderMutationsConfig } from '../routing/route-config.ts'
import type { FieldPath } from './field-path.ts'
import type { FormatExtension } from './format-string.ts'
import type { envoy } from './gen/messages.d.ts'
import { checkFormat } from './substitution-format.ts'

interface WithMutations {
  readonly request_headers_to_add?: readonly envoy.config.core.v3.HeaderValueOption[] | undefined
  readonly request_headers_to_remove?: readonly string[] | undefined
  readonly response_headers_to_add?: readonly envoy.config.core.v3.HeaderValueOption[] | undefined
  readonly response_headers_to_remove?: readonly string[] | undefined
}

/** The four header fields that route configuration, virtual host, route and weighted cluster have in common. */
export function parseHeaderMutations(proto: WithMutations, at: FieldPath): HeaderMutationsConfig {
  return {
    requestAdd: parseHeadersToAdd(proto.request_headers_to_add, at.field('request_headers_to_add')),
    requestRemove: removals(proto.request_headers_to_remove, at.field('request_headers_to_remove')),
    responseAdd: parseHeadersToAdd(proto.response_headers_to_add, at.field('response_headers_to_add')),
    responseRemove: removals(proto.response_headers_to_remove, at.field('response_headers_to_remove')),
  }
}

const ACTIONS: Readonly<Record<string, HeaderAddConfig['action']>> = {
  APPEND_IF_EXISTS_OR_ADD: 'append',
  ADD_IF_ABSENT: 'ifAbsent',
  OVERWRITE_IF_EXISTS_OR_ADD: 'overwrite',
  OVERWRITE_IF_EXISTS: 'overwriteIfExists',
}

export function parseHeadersToAdd(
  protos: readonly envoy.config.core.v3.HeaderValueOption[] | undefined,
  at: FieldPath,
  extensions: readonly FormatExtension[] = [],
): HeaderAddConfig[] {
  return (protos ?? []).map((proto, i) => {
    const place = at.index(i)
    const name = (proto.header?.key ?? '').toLowerCase()
    if (protectedName(name)) {
      throw new ConfigError('CONFIG_INVALID', place, ':-prefixed or host headers may not be modified')
    }
    if (
      proto.append !== undefined &&
      (proto.append_action ?? 'APPEND_IF_EXISTS_OR_ADD') !== 'APPEND_IF_EXISTS_OR_ADD'
    ) {
      throw new ConfigError('CONFIG_INVALID', place, "Both append and append_action are set and it's not allowed")
    }
    const raw = proto.header?.raw_value
    const value = proto.header?.value || (raw === undefined ? '' : Buffer.from(raw).toString('utf8'))
    checkFormat(value, place.field('header').field('value'), extensions)
    const action =
      proto.append === false ? 'overwrite' : (ACTIONS[proto.append_action ?? 'APPEND_IF_EXISTS_OR_ADD'] ?? 'append')
    return { name, value, action, keepEmpty: proto.keep_empty_value ?? false }
  })
}

function removals(names: readonly string[] | undefined, at: FieldPath): string[] {
  return (names ?? []).map((name, i) => {
    const lower = name.toLowerCase()
    if (protectedName(lower)) {
      throw new ConfigError('CONFIG_INVALID', at.index(i), ':-prefixed or host headers may not be removed')
    }
    return lower
  })
}

function protectedName(name: string): boolean {
  return name.startsWith(':') || name === 'host'
}
