import type { CaseResult } from '../result.ts'
import type { Watcher } from '../runner/run-all.ts'
import { caseTable } from './table.ts'

const WIDTH = 30

/** A bar on a terminal, a line per case elsewhere; tables go to `print` as cases finish. */
export class Progress implements Watcher {
  readonly #print: (text: string) => void
  readonly #terminal: boolean
  readonly #started = Date.now()
  #total = 1
  #done = 0
  #phase = ''

  constructor(print: (text: string) => void, terminal: boolean) {
    this.#print = print
    this.#terminal = terminal
  }

  begin(totalSeconds: number): void {
    this.#total = Math.max(totalSeconds, 1)
    this.#print(`about ${duration(totalSeconds)} of measuring, and the checks before\n`)
  }

  phase(text: string): void {
    this.#phase = text
    this.#draw()
  }

  measured(seconds: number): void {
    this.#done += seconds
    this.#draw()
  }

  finished(result: CaseResult): void {
    this.#clear()
    this.#print(`\n${caseTable(result)}`)
    this.#draw()
  }

  trouble(text: string): void {
    this.#clear()
    this.#print(`bench: ${text}\n`)
  }

  /** `lines`: what is to be said across the cases. */
  end(lines: readonly string[]): void {
    this.#clear()
    for (const line of lines) this.#print(`\n${line}`)
    if (lines.length > 0) this.#print('\n')
    this.#print(`\ntook ${duration((Date.now() - this.#started) / 1000)}\n`)
  }

  #draw(): void {
    if (!this.#terminal) return
    process.stderr.write(`\r\x1b[K${bar(this.#done / this.#total)} ${this.#phase}`)
  }

  #clear(): void {
    if (this.#terminal) process.stderr.write('\r\x1b[K')
  }
}

/** `[######----] 60 %`. */
export function bar(fraction: number): string {
  const part = Math.min(Math.max(fraction, 0), 1)
  const full = Math.round(part * WIDTH)
  return `[${'#'.repeat(full)}${'-'.repeat(WIDTH - full)}] ${String(Math.floor(part * 100)).padStart(3)} %`
}

function duration(seconds: number): string {
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`
}
