import { availableParallelism } from 'node:os'
import type { BenchCase, Plan, Sample } from '../case.ts'
import { machineTime, neighbourShare } from '../processes/neighbours.ts'
import { treeCpuSeconds, treeMemory } from '../processes/tree.ts'
import type { Round } from '../result.ts'
import type { Target } from '../target.ts'

/** Measures one proxy once. Throws when the load failed as a whole or no operation finished. */
export async function measureRound(one: BenchCase, target: Target, plan: Plan, index: number): Promise<Round> {
  const around = machineTime()
  const before = treeCpuSeconds(target.process.pid)
  const sample = await one.measure(target, plan)
  const cpuSeconds = sample.cpuSeconds ?? treeCpuSeconds(target.process.pid) - before
  const later = machineTime()
  if (target.process.ended !== null)
    throw new Error(`${target.peer.title} ended under load (${target.process.ended}):\n${target.process.tail()}`)
  if (sample.count === 0) throw new Error(`${target.peer.title}: the load had no answer, ${sample.errors} errors`)
  return {
    peer: target.peer.id,
    index,
    value: roundValue(one, sample, cpuSeconds),
    seconds: sample.seconds,
    count: sample.count,
    errors: sample.errors,
    ...(sample.unlike === undefined ? {} : { unlike: sample.unlike }),
    bytes: sample.bytes ?? null,
    cpuSeconds,
    memory: treeMemory(target.process.pid),
    latency: sample.latency ?? null,
    extra: sample.extra ?? {},
    neighbours: around === null || later === null ? null : neighbourShare(around, later, availableParallelism()),
  }
}

export function roundValue(one: Pick<BenchCase, 'value'>, sample: Sample, cpuSeconds: number): number {
  // The system counts CPU in ticks of 10 ms: less than one tick is no measurement.
  const cpu = Math.max(cpuSeconds, 0.01)
  switch (one.value) {
    case 'operations-per-cpu-second':
      return sample.count / cpu
    case 'bytes-per-cpu-second':
      return (sample.bytes ?? 0) / cpu
    case 'own':
      return sample.value ?? 0
  }
}
