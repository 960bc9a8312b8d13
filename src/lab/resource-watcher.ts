import { type FSWatcher, readdirSync, statSync, watch } from 'node:fs'
import { join } from 'node:path'
import { ResourceError, readResources, type Snapshot } from './resource-files.ts'

export interface WatchCallbacks {
  readonly onSnapshot: (snapshot: Snapshot) => void
  /** A mistake in the folder; the last good snapshot stays in force. Told once per state of the folder. */
  readonly onError: (message: string) => void
}

// Editors write in several steps (truncate, write, rename); file systems without events are polled.
const SETTLE_MS = 100
const POLL_MS = 1000

/** Reads the folder now and after every change, until closed. */
export class ResourceWatcher {
  readonly #folder: string
  readonly #callbacks: WatchCallbacks
  readonly #poll: NodeJS.Timeout
  readonly #watchers: FSWatcher[] = []
  #settle: NodeJS.Timeout | undefined
  #seen = ''

  constructor(folder: string, callbacks: WatchCallbacks) {
    this.#folder = folder
    this.#callbacks = callbacks
    this.#read()
    try {
      const watcher = watch(folder, { recursive: true }, () => this.#changed())
      watcher.on('error', () => {})
      this.#watchers.push(watcher)
    } catch {
      // The poll below finds changes a second later.
    }
    this.#poll = setInterval(() => {
      if (this.#fingerprint() !== this.#seen) this.#changed()
    }, POLL_MS)
  }

  close(): void {
    clearInterval(this.#poll)
    clearTimeout(this.#settle)
    for (const watcher of this.#watchers) watcher.close()
  }

  #changed(): void {
    clearTimeout(this.#settle)
    this.#settle = setTimeout(() => this.#read(), SETTLE_MS)
  }

  #read(): void {
    const state = this.#fingerprint()
    if (state === this.#seen) return
    this.#seen = state
    try {
      this.#callbacks.onSnapshot(readResources(this.#folder))
    } catch (error) {
      const message = (error as Error).message
      this.#callbacks.onError(error instanceof ResourceError ? message : `${this.#folder}: ${message}`)
    }
  }

  #fingerprint(): string {
    let text = ''
    try {
      for (const entry of readdirSync(this.#folder, { recursive: true })) {
        const { mtimeMs, size, ino } = statSync(join(this.#folder, String(entry)))
        text += `${entry} ${mtimeMs} ${size} ${ino}\n`
      }
    } catch (error) {
      text += (error as Error).message
    }
    return text
  }
}
