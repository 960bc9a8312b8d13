import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import type { MemoryUse } from '../result.ts'

/** A process and all its descendants, as /proc shows them now. Ended processes are left out. */
export function processTree(root: number): number[] {
  const children = new Map<number, number[]>()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const stat = readProc(`${entry}/stat`)
    if (stat === null) continue
    const parent = parseStat(stat).parent
    const list = children.get(parent)
    if (list === undefined) children.set(parent, [Number(entry)])
    else list.push(Number(entry))
  }
  const tree: number[] = []
  for (const queue = [root]; queue.length > 0; ) {
    const pid = queue.pop()!
    tree.push(pid)
    queue.push(...(children.get(pid) ?? []))
  }
  return tree
}

/**
 * CPU seconds, user and system, of all threads of the tree. Children that ended and were waited for count with their parent
 * (cutime, cstime), so the sum never goes backwards while the root lives.
 */
export function treeCpuSeconds(root: number): number {
  let ticks = 0
  for (const pid of processTree(root)) {
    const stat = readProc(`${pid}/stat`)
    if (stat !== null) ticks += parseStat(stat).ticks
  }
  return ticks / ticksPerSecond()
}

/** Memory of the tree. PSS and anonymous memory come from smaps_rollup, where the kernel has it; zero otherwise. */
export function treeMemory(root: number): MemoryUse {
  let rssBytes = 0
  let pssBytes = 0
  let anonBytes = 0
  for (const pid of processTree(root)) {
    rssBytes += kilobytes(readProc(`${pid}/status`) ?? '', 'VmRSS')
    anonBytes += kilobytes(readProc(`${pid}/status`) ?? '', 'RssAnon')
    pssBytes += kilobytes(readProc(`${pid}/smaps_rollup`) ?? '', 'Pss')
  }
  return { rssBytes, pssBytes, anonBytes }
}

/** proc(5): the name in parentheses may hold blanks and parentheses, so fields are counted from the last `)`. */
export function parseStat(text: string): { readonly parent: number; readonly ticks: number } {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  let ticks = 0
  for (let i = 11; i <= 14; i++) ticks += Number(fields[i])
  return { parent: Number(fields[1]), ticks }
}

/** `VmRSS:   1234 kB` → bytes; 0 when the field is missing. */
export function kilobytes(text: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024
}

let ticks = 0
function ticksPerSecond(): number {
  if (ticks === 0) ticks = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' })) || 100
  return ticks
}

function readProc(path: string): string | null {
  try {
    return readFileSync(`/proc/${path}`, 'utf8')
  } catch {
    return null
  }
}
