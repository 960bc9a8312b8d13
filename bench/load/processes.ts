import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** Clock ticks per second of /proc/<pid>/stat. */
const TICKS = Number(spawnSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }).stdout) || 100

/** CPU seconds, user and system, that a process has used so far, all its threads together. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS
}

/** Resident bytes of a process. */
export function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
}

export function onPath(command: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${command}`]).status === 0
}

/** Starts a process that must not outlive the bench. */
export function start(command: string, args: readonly string[]): ChildProcess {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  child.stderr?.on('data', chunk => {
    if (process.env['BENCH_VERBOSE'] !== undefined) process.stderr.write(chunk)
  })
  return child
}

export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise(resolve => child.once('exit', resolve))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000)
  await gone
  clearTimeout(timer)
}

/** Status and body of a GET; status 0 when there was no answer. */
export function fetchText(
  port: number,
  path: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: string; headers: Record<string, unknown> }> {
  return new Promise(resolve => {
    const request = get({ host: '127.0.0.1', port, path, headers, timeout: 2000 }, response => {
      let body = ''
      response.setEncoding('latin1')
      response.on('data', chunk => {
        body += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body, headers: response.headers }))
      response.on('error', () => resolve({ status: 0, body: '', headers: {} }))
    })
    request.on('error', () => resolve({ status: 0, body: '', headers: {} }))
    request.on('timeout', () => request.destroy())
  })
}

/** Waits until `path` answers 200. */
export async function untilReady(port: number, path: string, ms: number): Promise<void> {
  const end = Date.now() + ms
  while (Date.now() < end) {
    if ((await fetchText(port, path)).status === 200) return
    await sleep(50)
  }
  throw new Error(`nothing answers 200 on 127.0.0.1:${port}${path}`)
}
