import { readFileSync } from 'node:fs'
import { cpus, release, totalmem, type } from 'node:os'
import type { Machine } from './result.ts'

/** After the load: connections are tracked only while there are some. */
export function describeMachine(pinning: Machine['pinning']): Machine {
  const all = cpus()
  return {
    cpuModel: all[0]?.model.trim() ?? 'unknown',
    cores: allowedCpus().length || all.length,
    kernel: `${type()} ${release()}`,
    memoryBytes: totalmem(),
    congestionControl: systemValue('net/ipv4/tcp_congestion_control') ?? 'unknown',
    tracksConnections: Number(systemValue('net/netfilter/nf_conntrack_count') ?? 0) > 0,
    pinning,
  }
}

/** Null where the system has no such value. */
function systemValue(name: string): string | null {
  try {
    return readFileSync(`/proc/sys/${name}`, 'utf8').trim()
  } catch {
    return null
  }
}

/** CPUs this process may run on; empty where the system does not say. */
export function allowedCpus(): number[] {
  try {
    const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
    return parseCpuList(list)
  } catch {
    return []
  }
}

/** `0-3,8` → 0 1 2 3 8. */
export function parseCpuList(text: string): number[] {
  const cpus: number[] = []
  for (const part of text.split(',')) {
    const found = /^(\d+)(?:-(\d+))?$/.exec(part.trim())
    if (found === null) continue
    const first = Number(found[1])
    const last = Number(found[2] ?? found[1])
    for (let cpu = first; cpu <= last; cpu++) cpus.push(cpu)
  }
  return cpus
}
