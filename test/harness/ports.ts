import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Loopback ports for test peers: below the ephemeral range, so no outgoing connection can take one first. */
const FIRST = Number(process.env['PARITY_FIRST_PORT'] ?? 20000)
const COUNT = Number(process.env['PARITY_PORT_COUNT'] ?? 2000)
/** A file per port that is in use or soon will be, with the pid whose it is: test processes run side by side. */
const FOLDER = join(tmpdir(), `remora-test-ports-${process.getuid?.() ?? 0}`)

const taken = new Set<number>()
// Two runs at once start at different places, so that they rarely meet.
let next = (process.pid * 61) % COUNT

mkdirSync(FOLDER, { recursive: true })
process.on('exit', () => {
  for (const port of taken) rmSync(join(FOLDER, String(port)), { force: true })
})

/** A port of 127.0.0.1 nobody listens on now; never handed out twice, by any test process. All have five digits. */
export async function allocatePort(): Promise<number> {
  for (let tries = 0; tries < COUNT; tries++) {
    const port = FIRST + (next++ % COUNT)
    if (!reserve(port)) continue
    if (await isFree(port)) return port
    releasePort(port)
  }
  throw new Error(`no free port in ${FIRST}..${FIRST + COUNT - 1}`)
}

/** The first of `count` ports in a row. Whether somebody who is no test listens on one of them is not asked. */
export function reservePorts(count: number): number {
  for (let tries = 0; tries < COUNT; tries++) {
    const first = FIRST + (next % (COUNT - count))
    const row: number[] = []
    while (row.length < count && reserve(first + row.length)) row.push(first + row.length)
    next = first - FIRST + row.length + 1
    if (row.length === count) return first
    for (const port of row) releasePort(port)
  }
  throw new Error(`no ${count} free ports in a row in ${FIRST}..${FIRST + COUNT - 1}`)
}

/** Gives a port back when its group has ended; it is reused only after all others were. */
export function releasePort(port: number): void {
  if (taken.delete(port)) rmSync(join(FOLDER, String(port)), { force: true })
}

function reserve(port: number): boolean {
  if (taken.has(port)) return false
  const file = join(FOLDER, String(port))
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' })
  } catch {
    // Of a process that was killed: for whoever comes by next, so that two who see it do not both take it.
    if (!lives(file)) rmSync(file, { force: true })
    return false
  }
  taken.add(port)
  return true
}

function lives(file: string): boolean {
  try {
    const pid = Number(readFileSync(file, 'utf8'))
    // An empty file is being written.
    if (pid === 0) return true
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}
