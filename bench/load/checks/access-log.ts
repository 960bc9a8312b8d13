import { closeSync, openSync, readSync, truncateSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** Lines of a log so far; 0 when there is none. */
export function countLines(path: string): number {
  let lines = 0
  eachChunk(path, chunk => {
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) lines++
  })
  return lines
}

/** The first line with `word` in it; waits for it until `seconds` are over: proxies write their logs in blocks. */
export async function untilLogged(path: string, word: string, seconds: number): Promise<string | null> {
  const end = Date.now() + seconds * 1000
  for (;;) {
    const line = findLine(path, word)
    if (line !== null || Date.now() > end) return line
    await sleep(100)
  }
}

export async function untilLines(path: string, wanted: number, seconds: number): Promise<number> {
  const end = Date.now() + seconds * 1000
  for (;;) {
    const lines = countLines(path)
    if (lines >= wanted || Date.now() > end) return lines
    await sleep(200)
  }
}

/** Proxies append, so a file that was emptied grows from its start again. */
export function emptyLog(path: string): void {
  try {
    truncateSync(path, 0)
  } catch {
    // Not there yet.
  }
}

function findLine(path: string, word: string): string | null {
  let text = ''
  eachChunk(path, chunk => {
    text += chunk.toString('latin1')
  })
  return text.split('\n').find(line => line.includes(word)) ?? null
}

function eachChunk(path: string, use: (chunk: Buffer) => void): void {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch {
    return
  }
  const buffer = Buffer.allocUnsafe(1 << 20)
  for (let read = readSync(file, buffer); read > 0; read = readSync(file, buffer)) use(buffer.subarray(0, read))
  closeSync(file)
}
