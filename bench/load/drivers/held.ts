import { type ChildProcess, spawn } from 'node:child_process'

/** A driver process that says when it is ready and waits for a word on its stdin. */
export class HeldDriver {
  readonly #process: ChildProcess
  #output = ''
  #errors = ''
  #wake: (() => void) | null = null

  constructor(command: readonly string[]) {
    this.#process = spawn(command[0]!, command.slice(1), { stdio: ['pipe', 'pipe', 'pipe'] })
    this.#process.stdin!.on('error', () => {})
    this.#process.stdout!.setEncoding('utf8').on('data', text => {
      this.#output += text
      this.#wake?.()
    })
    this.#process.stderr!.setEncoding('utf8').on('data', text => {
      this.#errors += text
    })
    this.#process.once('close', () => this.#wake?.())
    this.#process.once('error', () => this.#wake?.())
  }

  /** Resolves to the next line of output. Rejects with the driver's error output when it ends first, or after `seconds`. */
  async line(seconds: number): Promise<string> {
    const end = Date.now() + seconds * 1000
    for (;;) {
      const at = this.#output.indexOf('\n')
      if (at >= 0) {
        const line = this.#output.slice(0, at)
        this.#output = this.#output.slice(at + 1)
        return line
      }
      if (this.#process.exitCode !== null || this.#process.signalCode !== null || Date.now() > end)
        throw new Error(`load driver: ${this.#errors.trim() || 'no answer in time'}`)
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, 500)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  go(): void {
    this.#process.stdin!.write('go\n')
  }

  async end(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const gone = new Promise(resolve => this.#process.once('close', resolve))
    this.#process.stdin!.end()
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), 5000)
    await gone
    clearTimeout(timer)
  }
}
