import { setTimeout as sleep } from 'node:timers/promises'
import { atMost, type BenchCase, type Plan, type Sample } from '../case.ts'
import type { Configuration } from '../configurations/configuration.ts'
import { IDLE } from '../configurations/scale.ts'
import { TLS_RSA } from '../configurations/tls.ts'
import { type IdleKind, idleArguments, idleMemory, idleStreams } from '../drivers/idle-load.ts'
import { treeMemory } from '../processes/tree.ts'
import type { MemoryUse } from '../result.ts'
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
/**
 * The difference between 1,000 and 5,000 streams on the same ten connections, each time after all of the proxies' own tidying up. Between
 * none and 1,000, and earlier, a stream was lost in the 5 MB by which memory moves meanwhile: 0 to 9 KB each from one round to the next.
 */
export const memoryStream: BenchCase = {
  ...memoryCase('memory-http2-stream', 'Memory per idle HTTP/2 stream', IDLE),
  metric: { name: 'bytes each', unit: 'B', higherIsBetter: false },
  goal: atMost(4096, 'at most 4 KB each'),
  from: 'standard',
  commands: plan => [`idle ${idleArguments('stream', ...streamCounts(plan)).join(' ')} --port {port}`],
  measure: async (target, plan) => {
    const [few, many] = streamCounts(plan)
    const { before, after } = await idleStreams(few, many, target, plan)
    return each(before, after, many - few)
  },
}

function streamCounts(plan: Plan): [few: number, many: number] {
  return plan.profile === 'smoke' ? [20, 100] : [1000, 5000]
}

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
      return each(before, after, many)
    },
  }
}

function each(before: MemoryUse, after: MemoryUse, count: number): Sample {
  const extra = { 'anonymous bytes each': (after.anonBytes - before.anonBytes) / count }
  return { seconds: 0, count, errors: 0, value: (after.rssBytes - before.rssBytes) / count, extra }
}
