import { ConfigError } from '../../base/errors.ts'
import { cut } from '../../base/list.ts'
import type { HeaderBlock } from '../../codec/header-block.ts'
import type { FieldPath } from '../../config/field-path.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { parseStringMatcher, type StringMatchConfig } from '../../config/matcher.ts'
import type { ExtensionFactory } from '../../config/registry.ts'
import { parseHeadersToAdd } from '../../config/route-headers.ts'
import { compileStringMatch, type StringMatch } from '../../config/string-match.ts'
import { HeaderMutation } from '../../routing/header-mutation.ts'
import type { HeaderAddConfig } from '../../routing/route-config.ts'
import type { FormatContext } from '../../telemetry/format-context.ts'

type Proto = envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation
type MutationProto = envoy.config.common.mutation_rules.v3.HeaderMutation

/** One step: exactly one of the fields is set. */
interface StepConfig {
  readonly add: HeaderAddConfig | null
  readonly remove: string
  readonly removeMatching: StringMatchConfig | null
}

/** Changes requests before anything else looks at them, the sanitizing of headers included. */
export interface EarlyHeaderMutation {
  apply(h: HeaderBlock, context: FormatContext): void
}

/** envoy.http.early_header_mutation.header_mutation */
export const earlyHeaderMutationFactory: ExtensionFactory<Proto, readonly StepConfig[], never, EarlyHeaderMutation> = {
  category: 'envoy.http.early_header_mutation',
  name: 'envoy.http.early_header_mutation.header_mutation',
  typeUrls: ['envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation'],
  parse: (proto, at) => (proto.mutations ?? []).map((step, i) => parseStep(step, at.field('mutations').index(i))),
  create: config => new Mutations(config),
}

function parseStep(proto: MutationProto, at: FieldPath): StepConfig {
  const add = proto.append === undefined ? null : parseHeadersToAdd([proto.append], at.field('append'))[0]!
  const remove = (proto.remove ?? '').toLowerCase()
  if (remove.startsWith(':') || remove === 'host')
    throw new ConfigError('CONFIG_INVALID', at.field('remove'), ':-prefixed or host headers may not be removed')
  const matcher = proto.remove_on_match?.key_matcher
  const place = at.field('remove_on_match').field('key_matcher')
  return { add, remove, removeMatching: matcher === undefined ? null : parseStringMatcher(matcher, place) }
}

class Mutations implements EarlyHeaderMutation {
  private readonly steps: readonly (HeaderMutation | StringMatch)[]

  constructor(steps: readonly StepConfig[]) {
    this.steps = steps.map(({ add, remove, removeMatching }) =>
      removeMatching === null
        ? new HeaderMutation(add === null ? [] : [add], remove === '' ? [] : [remove])
        : compileStringMatch(removeMatching),
    )
  }

  /** One after the other: a later step sees what an earlier one did. */
  apply(h: HeaderBlock, context: FormatContext): void {
    for (let i = 0; i < this.steps.length; i++) {
      const step = this.steps[i]!
      if (step instanceof HeaderMutation) step.apply(h, context)
      else removeMatching(h, step)
    }
  }
}

function removeMatching(h: HeaderBlock, match: StringMatch): void {
  const { list } = h
  let to = 0
  for (let i = 0; i < list.length; i += 2) {
    if (match.matches(list[i]!)) continue
    list[to] = list[i]!
    list[to + 1] = list[i + 1]!
    to += 2
  }
  cut(list, to)
}
