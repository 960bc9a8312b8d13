import { setTimeout as sleep } from 'node:timers/promises'
import { atMost, type BenchCase, type Plan, type Sample } from '../case.ts'
import type { Configuration } from '../configurations/configuration.ts'
import { IDLE } from '../configurations/scale.ts'
import { TLS_RSA } from '../configurations/tls.ts'
import { type IdleKind, idleArguments, idleMemory } from '../drivers/idle-load.ts'
import { treeMemory } from '../processes/tree.ts'
import type { Target } from '../target.ts'

const MIB = 1048576

export const memoryIdle: BenchCase = {
  ...memoryCase('memory-idle', 'Anonymous memory, idle, one worker', IDLE),
  metric: { name: 'anonymous memory', unit: 'B', higherIsBetter: false },
  goal: atMost(45 * MIB, 'RssAnon of at most 45 MB'),
  from: 'smoke',
  commands: () => [],
  measure: async (target: Target, plan: Plan): Promise<Sample> => {
    await sleep(plan.profile === 'smoke' ? 200 : 2000)
    const memory = treeMemory(target.process.pid)
    const extra = { 'RSS bytes': memory.rssBytes, 'PSS bytes': memory.pssBytes }
    return { seconds: 0, count: 1, errors: 0, value: memory.anonBytes, extra }
  },
  also: [
    {
      id: 'memory-idle-pss',
      title: 'Proportional memory (PSS), idle, one worker',
      extra: 'PSS bytes',
      metric: { name: 'PSS', unit: 'B', higherIsBetter: false },
      goal: null,
    },
  ],
}

export const memoryHttp1: BenchCase = perIdle(
  'memory-http1-connection',
  'Memory per idle HTTP/1.1 connection',
  IDLE,
  'http1',
  12 * 1024,
)
export const memoryTls: BenchCase = perIdle(
  'memory-tls-connection',
  'Memory per idle TLS connection',
  TLS_RSA,
  'tls',
  60 * 1024,
)
export const memoryStream: BenchCase = perIdle(
  'memory-http2-stream',
  'Memory per idle HTTP/2 stream',
  IDLE,
  'stream',
  4 * 1024,
)

function memoryCase(id: string, title: string, configuration: Configuration) {
  return {
    id,
    title,
    group: 'memory' as const,
    series: null,
    axis: null,
    configuration,
    value: 'own' as const,
    headline: false,
    fresh: true,
    needs: configuration.tls ? ['openssl'] : [],
  }
}

function perIdle(id: string, title: string, configuration: Configuration, kind: IdleKind, goal: number): BenchCase {
  const count = (plan: Plan): number => (plan.profile === 'smoke' ? 100 : plan.profile === 'full' ? 4000 : 1000)
  return {
    ...memoryCase(id, title, configuration),
    metric: { name: 'bytes each', unit: 'B', higherIsBetter: false },
    goal: atMost(goal, `at most ${goal / 1024} KB each`),
    from: 'standard',
    commands: plan => [`idle ${idleArguments(kind, count(plan)).join(' ')} --port {port}`],
    measure: async (target, plan) => {
      const many = count(plan)
      const { before, after } = await idleMemory(kind, many, target, plan)
      const each = (after.rssBytes - before.rssBytes) / many
      const extra = { 'anonymous bytes each': (after.anonBytes - before.anonBytes) / many }
      return { seconds: 0, count: many, errors: 0, value: each, extra }
    },
  }
}
