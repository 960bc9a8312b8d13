import { isDeepStrictEqual } from 'node:util'
import type { envoy } from '../config/gen/messages.d.ts'

type ListenerProto = envoy.config.listener.v3.Listener

/**
 * Whether an update may go into the listener that there is, whose connections stay on the filter chains that are the same
 * (ListenerImpl::supportUpdateFilterChain): nothing but filter chains differs, and there is at least one besides the default one.
 * As Envoy, unset counts as the default and the order of lists does not matter. The names of enum defaults (`DEFAULT`) are not known
 * here: who writes them down in one version only gets the whole update.
 */
export function onlyFilterChainsDiffer(before: ListenerProto, after: ListenerProto): boolean {
  if ((after.filter_chains ?? []).length === 0) return false
  // Its default is not false.
  if ((before.enable_reuse_port ?? true) !== (after.enable_reuse_port ?? true)) return false
  return equivalent(withoutChains(before), withoutChains(after))
}

/** For each chain of `after`, the default chain last: which one of `before` it is, counted in the same way; -1 = a new one. */
export function keptChains(before: ListenerProto, after: ListenerProto): readonly number[] {
  const [old, now] = [before.filter_chains ?? [], after.filter_chains ?? []]
  const kept = now.map((chain, i) =>
    isDeepStrictEqual(chain, old[i]) ? i : old.findIndex(other => isDeepStrictEqual(chain, other)),
  )
  const fallback = after.default_filter_chain
  const same = fallback !== undefined && isDeepStrictEqual(fallback, before.default_filter_chain)
  kept.push(same ? old.length : -1)
  return kept
}

/** How many chains of `before` are not kept. */
export function drainedChains(before: ListenerProto, kept: readonly number[]): number {
  const count = (before.filter_chains ?? []).length + (before.default_filter_chain === undefined ? 0 : 1)
  return count - new Set(kept.filter(i => i >= 0)).size
}

function withoutChains(proto: ListenerProto): object {
  const rest: Record<string, unknown> = { ...proto }
  for (const field of ['filter_chains', 'default_filter_chain', 'filter_chain_matcher', 'enable_reuse_port']) {
    delete rest[field]
  }
  return rest
}

/** MessageDifferencer with EQUIVALENT and AS_SET. */
function equivalent(a: unknown, b: unknown): boolean {
  if (isDefault(a) || isDefault(b)) return isDefault(a) && isDefault(b)
  if (Array.isArray(a) && Array.isArray(b)) {
    const rest = [...b]
    return a.length === b.length && a.every(item => take(rest, item))
  }
  if (!isRecord(a) || !isRecord(b)) return isDeepStrictEqual(a, b)
  for (const name of new Set([...Object.keys(a), ...Object.keys(b)])) if (!equivalent(a[name], b[name])) return false
  return true
}

function take(rest: unknown[], item: unknown): boolean {
  const at = rest.findIndex(other => equivalent(item, other))
  if (at >= 0) rest.splice(at, 1)
  return at >= 0
}

function isDefault(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === 0 || value === '') return true
  if (Array.isArray(value)) return value.length === 0
  return isRecord(value) && Object.values(value).every(isDefault)
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
}
