import { ConfigError } from '../base/errors.ts'
import type { FieldPath } from '../config/field-path.ts'
import type { envoy, xds } from '../config/gen/messages.d.ts'
import { type MatchTree, parseMatchTree } from '../config/match-tree.ts'
import { typeNameOf, unregistered } from '../config/registry.ts'

/** What filter_chain_matcher may ask of a connection (envoy.matching.network.input). */
export type ChainInput =
  | { readonly kind: (typeof PLAIN_INPUTS)[keyof typeof PLAIN_INPUTS] }
  | { readonly kind: 'filter_state'; readonly key: string }
  | { readonly kind: 'metadata'; readonly filter: string; readonly path: readonly string[] }

const PREFIX = 'envoy.extensions.matching.common_inputs.network.v3.'
const PLAIN_INPUTS = {
  ApplicationProtocolInput: 'application_protocols',
  DestinationIPInput: 'destination_ip',
  DestinationPortInput: 'destination_port',
  DirectSourceIPInput: 'direct_source_ip',
  ServerNameInput: 'server_name',
  SourceIPInput: 'source_ip',
  SourcePortInput: 'source_port',
  SourceTypeInput: 'source_type',
  TransportProtocolInput: 'transport_protocol',
} as const

/** envoy.config.listener.v3.Listener.filter_chain_matcher: its actions are names of filter chains. */
export function parseChainMatcher(proto: xds.type.matcher.v3.Matcher, at: FieldPath): MatchTree<ChainInput> {
  return parseMatchTree(proto, at, { input: parseInput, action: parseAction })
}

/** Chains are found by their names then: each has one of its own. */
export function checkChainNames(names: readonly string[], listener: string, at: FieldPath): void {
  const seen = new Set<string>()
  for (const [i, name] of names.entries()) {
    const place = at.index(i).field('name')
    const refuse = (text: string): never => {
      throw new ConfigError('CONFIG_INVALID', place, `error adding listener '${listener}': "name" field is ${text}`)
    }
    if (name === '') refuse('required when using a listener matcher')
    if (seen.has(name)) refuse(`duplicated with value '${name}'`)
    seen.add(name)
  }
}

function parseInput(typed: xds.core.v3.TypedExtensionConfig, at: FieldPath): ChainInput {
  const type = typeNameOf(typed.typed_config)
  const short = type.startsWith(PREFIX) ? type.slice(PREFIX.length) : ''
  if (Object.hasOwn(PLAIN_INPUTS, short)) return { kind: PLAIN_INPUTS[short as keyof typeof PLAIN_INPUTS] }
  const message = typed.typed_config?.message ?? {}
  if (short === 'FilterStateInput') {
    const { key = '', field = '' } = message as envoy.extensions.matching.common_inputs.network.v3.FilterStateInput
    if (field === '') return { kind: 'filter_state', key }
  }
  if (short === 'DynamicMetadataInput') {
    const { filter = '', path } = message as envoy.extensions.matching.common_inputs.network.v3.DynamicMetadataInput
    return { kind: 'metadata', filter, path: (path ?? []).map(step => step.key ?? '') }
  }
  throw unregistered('envoy.matching.network.input', typed.name ?? '', type, at)
}

function parseAction(typed: xds.core.v3.TypedExtensionConfig, at: FieldPath): string {
  const type = typeNameOf(typed.typed_config)
  if (type !== 'google.protobuf.StringValue') {
    const text = `cannot create a filter chain matcher: Didn't find a registered implementation for '${typed.name ?? ''}' with type URL: '${type}'`
    throw new ConfigError('CONFIG_UNREGISTERED', at, text)
  }
  const { message } = typed.typed_config!
  // Well-known wrappers are read as the value that they wrap.
  return String(typeof message === 'object' && message !== null && 'value' in message ? message.value : (message ?? ''))
}
