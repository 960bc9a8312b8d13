import type { Group, Scenario, Step } from './scenario.ts'

/**
 * A proxy that rejects one extension rejects the whole bootstrap. So that this does not hide what it would do with the
 * rest, a group that does not start is cut into groups of scenarios that use the same listeners, each with only those
 * listeners and the clusters they name. Empty when there is nothing to cut.
 */
export function splitByListener(group: Group): Group[] {
  const resources = resourcesOf(group.config)
  if (resources === null || resources.listeners.length < 2) return []
  const bySet = new Map<string, Scenario[]>()
  for (const scenario of group.scenarios) {
    const key = [...new Set(scenario.steps.flatMap(listenersOf))].sort().join()
    bySet.set(key, [...(bySet.get(key) ?? []), scenario])
  }
  return [...bySet].map(([key, scenarios]) => {
    const used = key.split(',')
    const listeners = resources.listeners.filter(listener => used.includes(listener.name))
    const text = JSON.stringify(listeners)
    const clusters = resources.clusters.filter(cluster => text.includes(JSON.stringify(cluster.name)))
    const config = { ...(group.config as object), static_resources: { listeners, clusters } }
    return { ...group, config, scenarios }
  })
}

interface Resources {
  readonly listeners: readonly { readonly name: string }[]
  readonly clusters: readonly { readonly name: string }[]
}

function resourcesOf(config: object | string): Resources | null {
  if (typeof config === 'string' || !('static_resources' in config)) return null
  return config.static_resources as Resources
}

function listenersOf(step: Step): string[] {
  switch (step.kind) {
    case 'http1':
    case 'h2':
    case 'tcp':
      return [step.listener]
    case 'together':
      return step.steps.flatMap(entry => listenersOf(entry.step))
    case 'tally':
      return listenersOf(step.step)
    default:
      return []
  }
}
