import { type ChildProcess, spawn } from 'node:child_process'
import { openSync, readFileSync } from 'node:fs'
import type { Readable, Writable } from 'node:stream'

export interface ChildOptions {
  readonly name: string
  readonly argv: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
  /** File that takes stdout and stderr; or `pipe` for a child that is talked to. */
  readonly output: string | 'pipe'
  /** Start it again when it ends by itself. */
  readonly restart: boolean
  readonly onEvent: (message: string) => void
  /** It ended by itself and is to be started again. */
  readonly onCrash?: () => void
}

const FIRST_BACKOFF_MS = 200
const MAX_BACKOFF_MS = 10_000
/** One that lived this long had not crashed at start: the next back-off begins anew. */
const HEALTHY_MS = 10_000
const KILL_AFTER_MS = 3000

/**
 * A process of the lab in a process group of its own: Ctrl-C in the terminal reaches only the lab, which then ends
 * all in order; and what a child left behind goes with its group.
 */
export class Child {
  readonly #options: ChildOptions
  #process: ChildProcess | undefined
  #exited: Promise<number> = Promise.resolve(0)
  #retry: NodeJS.Timeout | undefined
  #backoff = FIRST_BACKOFF_MS
  #stopping = false

  constructor(options: ChildOptions) {
    this.#options = options
    this.#start()
  }

  get stdin(): Writable {
    return this.#process?.stdin as Writable
  }

  get stdout(): Readable {
    return this.#process?.stdout as Readable
  }

  /** Of the run that is on now. */
  get exited(): Promise<number> {
    return this.#exited
  }

  /** SIGTERM to the group, SIGKILL to what is left of it. Resolves when the child is gone. */
  async stop(): Promise<void> {
    this.#stopping = true
    clearTimeout(this.#retry)
    this.#signal('SIGTERM')
    const kill = setTimeout(() => this.#signal('SIGKILL'), KILL_AFTER_MS)
    await this.#exited
    clearTimeout(kill)
    this.#signal('SIGKILL')
  }

  #start(): void {
    const { argv, env, cwd, output, name, restart, onEvent } = this.#options
    const file = output === 'pipe' ? undefined : openSync(output, 'a')
    const started = performance.now()
    const child = spawn(argv[0] as string, argv.slice(1), {
      cwd,
      env,
      detached: true,
      stdio: file === undefined ? ['pipe', 'pipe', 'inherit'] : ['ignore', file, file],
    })
    this.#process = child
    child.stdin?.on('error', () => {})
    this.#exited = new Promise(resolve => {
      child.once('error', error => {
        onEvent(`${name}: cannot start ${argv[0]}: ${error.message}`)
        resolve(127)
      })
      child.once('exit', (code, signal) => {
        resolve(code ?? 128)
        if (this.#stopping || !restart) return
        // An agent that was killed leaves its proxy, which would hold the ports of the next one.
        this.#signal('SIGKILL')
        if (performance.now() - started > HEALTHY_MS) this.#backoff = FIRST_BACKOFF_MS
        onEvent(
          `${name} ended (${signal ?? `status ${code}`}); starting again in ${this.#backoff} ms${lastError(output)}`,
        )
        this.#options.onCrash?.()
        this.#retry = setTimeout(() => this.#start(), this.#backoff)
        this.#backoff = Math.min(this.#backoff * 2, MAX_BACKOFF_MS)
      })
    })
  }

  #signal(name: NodeJS.Signals): void {
    const pid = this.#process?.pid
    if (pid === undefined) return
    try {
      process.kill(-pid, name)
    } catch {
      // Gone already.
    }
  }
}

/** What the log says about it, if anything. */
function lastError(output: string): string {
  if (output === 'pipe') return ''
  const lines = readFileSync(output, 'utf8').split('\n')
  // The agent's own line only repeats the status.
  const line = lines.findLast(text => /error/i.test(text) && !text.includes('Envoy exited with error'))
  return line === undefined ? ` (see ${output})` : `\n     ${line.trim().slice(0, 300)}`
}
