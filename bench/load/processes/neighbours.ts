import { readFileSync } from 'node:fs'
import { treeCpuSeconds } from './tree.ts'

/** CPU seconds since boot: of the whole machine, of this bench with all it started, and those the hypervisor gave to others. */
export interface MachineTime {
  readonly busy: number
  readonly own: number
  readonly stolen: number
  readonly at: number
}

/** Above this share of the machine, what others do is said in the notes of a case. */
export const BUSY_NEIGHBOURS = 0.05

/** Null where the system does not tell. */
export function machineTime(): MachineTime | null {
  let line: string
  try {
    line = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!
  } catch {
    return null
  }
  const { busy, stolen } = parseCpuLine(line)
  return { busy, stolen, own: treeCpuSeconds(process.pid), at: performance.now() / 1000 }
}

/** proc(5), "cpu": user nice system idle iowait irq softirq steal, in ticks; those of guests are part of user. */
export function parseCpuLine(line: string): { readonly busy: number; readonly stolen: number } {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number)
  // The kernel gives these in hundredths of a second on every architecture that Node runs on.
  return { busy: (user + nice + system + irq + softirq) / 100, stolen: steal / 100 }
}

/** Ticks of 10 ms say little about less. */
const SHORTEST_SECONDS = 0.5

/**
 * Share of the machine (0–1) that programs outside the bench, and other machines on the same host, took between two times;
 * null when these are too near to each other to tell.
 */
export function neighbourShare(before: MachineTime, after: MachineTime, cores: number): number | null {
  const seconds = after.at - before.at
  if (seconds < SHORTEST_SECONDS) return null
  const foreign = Math.max(0, after.busy - before.busy - (after.own - before.own)) + (after.stolen - before.stolen)
  return Math.min(foreign / (seconds * cores), 1)
}
