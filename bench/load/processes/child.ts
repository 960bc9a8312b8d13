import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'

/** A process that must not outlive the bench; what it prints goes into files. */
export class Child {
  readonly pid: number
  readonly command: readonly string[]
  readonly #process: ChildProcess
  readonly #errors: string
  #ended: string | null = null

  /** Throws when the program cannot be started at all. `stdout` defaults to the file of the errors. */
  constructor(command: readonly string[], errors: string, stdout = errors, env: NodeJS.ProcessEnv = process.env) {
    this.command = command
    this.#errors = errors
    const err = openSync(errors, 'a')
    const out = stdout === errors ? err : openSync(stdout, 'a')
    this.#process = spawn(command[0]!, command.slice(1), { stdio: ['ignore', out, err], env })
    closeSync(err)
    if (out !== err) closeSync(out)
    this.#process.once('exit', (code, signal) => {
      this.#ended = signal ?? `code ${code}`
    })
    this.#process.once('error', error => {
      this.#ended = error.message
    })
    if (this.#process.pid === undefined) throw new Error(`${command[0]} cannot be started`)
    this.pid = this.#process.pid
    living.add(this)
  }

  /** How it ended; null while it runs. */
  get ended(): string | null {
    return this.#ended
  }

  /** The last lines it printed. */
  tail(lines = 12): string {
    try {
      const text = readFileSync(this.#errors, 'utf8').trimEnd().split('\n')
      return text
        .slice(-lines)
        .map(line => line.slice(0, 400))
        .join('\n')
    } catch {
      return ''
    }
  }

  async stop(): Promise<void> {
    living.delete(this)
    if (this.#ended !== null) return
    const gone = new Promise(resolve => this.#process.once('exit', resolve))
    this.#process.kill('SIGTERM')
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), 3000)
    await gone
    clearTimeout(timer)
  }
}

const living = new Set<Child>()

/** Ends everything that still runs: for the end of a bench, whichever it is. */
export async function stopAll(): Promise<void> {
  await Promise.all([...living].map(child => child.stop()))
}
