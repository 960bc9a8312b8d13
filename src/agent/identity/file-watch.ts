import { createHash } from 'node:crypto'
import { type FSWatcher, lstatSync, readFileSync, readlinkSync, watch } from 'node:fs'
import { dirname, join, parse, resolve, sep } from 'node:path'
import { Logger } from '../log.ts'

const log = new Logger('cache')
const RETRY_MS = 1000
/** Names come over a socket that every process of the pod may open. */
const MAX_WATCHED = 4096
const MAX_LINKS = 40

interface Watched {
  /** Resources that are made of this file. */
  readonly names: Set<string>
  fingerprint: string
  folders: readonly string[]
  timer: NodeJS.Timeout | undefined
}

/**
 * Tells when the contents of files change, however that is done: written in place, replaced by rename, or, as the kubelet
 * does, by turning the link `..data` in the middle of the path. So what is watched are the folders that hold the file
 * and every link on the way to it, and what counts is the contents.
 */
export class FileWatch {
  readonly #settleMs: number
  readonly #onChange: (names: ReadonlySet<string>) => void
  readonly #onFailure: () => void
  readonly #files = new Map<string, Watched>()
  readonly #folders = new Map<string, FSWatcher>()
  #closed = false

  /** @param settleMs how long after an event the file is read: writers take a while (FILE_DEBOUNCE_DURATION) */
  constructor(settleMs: number, onChange: (names: ReadonlySet<string>) => void, onFailure: () => void) {
    this.#settleMs = settleMs
    this.#onChange = onChange
    this.#onFailure = onFailure
  }

  /** From now on, changes of the file are told under this name too. Throws Error when there are too many. */
  add(path: string, name: string): void {
    const absolute = resolve(path)
    const known = this.#files.get(absolute)
    if (known !== undefined) {
      known.names.add(name)
      return
    }
    if (this.#files.size >= MAX_WATCHED) throw new Error(`more than ${MAX_WATCHED} certificate files`)
    log.info(`adding watcher for file certificate ${absolute}`)
    const file: Watched = { names: new Set([name]), fingerprint: '', folders: [], timer: undefined }
    this.#files.set(absolute, file)
    this.#follow(absolute, file)
    file.fingerprint = fingerprint(absolute)
  }

  close(): void {
    this.#closed = true
    for (const file of this.#files.values()) clearTimeout(file.timer)
    for (const watcher of this.#folders.values()) watcher.close()
    this.#folders.clear()
  }

  /** Watches anew: a folder that was removed and made again has the old name, and its old watcher is dead. */
  #follow(path: string, file: Watched): void {
    file.folders = foldersOf(path)
    for (const folder of file.folders) {
      const old = this.#folders.get(folder)
      this.#folders.delete(folder)
      try {
        const watcher = watch(folder, { persistent: false }, () => this.#stirred(folder))
        watcher.on('error', () => this.#stirred(folder))
        this.#folders.set(folder, watcher)
      } catch (error) {
        log.error(`error adding watcher for file ${path}, retrying watches: ${(error as Error).message}`)
        this.#onFailure()
        this.#examineAfter(path, file, RETRY_MS)
      }
      old?.close()
    }
    // Folders that the kubelet has replaced.
    const needed = new Set([...this.#files.values()].flatMap(each => each.folders))
    for (const [folder, watcher] of this.#folders) {
      if (needed.has(folder)) continue
      watcher.close()
      this.#folders.delete(folder)
    }
    // Something on the way came or went before it was watched.
    if (foldersOf(path).join() !== file.folders.join()) this.#examineAfter(path, file, this.#settleMs)
  }

  #stirred(folder: string): void {
    for (const [path, file] of this.#files) {
      if (file.folders.includes(folder)) this.#examineAfter(path, file, this.#settleMs)
    }
  }

  #examineAfter(path: string, file: Watched, milliseconds: number): void {
    if (file.timer !== undefined || this.#closed) return
    file.timer = setTimeout(() => {
      file.timer = undefined
      this.#examine(path, file)
    }, milliseconds)
    file.timer.unref()
  }

  #examine(path: string, file: Watched): void {
    this.#follow(path, file)
    const now = fingerprint(path)
    if (now === file.fingerprint) return
    file.fingerprint = now
    // In the middle of a replacement: what comes next is the news.
    if (now === '') {
      this.#examineAfter(path, file, RETRY_MS)
      return
    }
    log.info(`event for file certificate ${path} : WRITE, pushing to proxy`)
    this.#onChange(file.names)
  }
}

/** '' for a file that cannot be read. */
function fingerprint(path: string): string {
  try {
    return createHash('sha256').update(readFileSync(path)).digest('base64')
  } catch {
    return ''
  }
}

/** The folder of the file and of every link on the way to it; of what is missing, the nearest that is there. */
function foldersOf(path: string): string[] {
  const folders = new Set<string>()
  let links = 0
  const walk = (absolute: string): void => {
    let at = parse(absolute).root
    for (const part of absolute.slice(at.length).split(sep)) {
      const next = join(at, part)
      const entry = lstatSync(next, { throwIfNoEntry: false })
      if (entry === undefined) {
        folders.add(at)
        return
      }
      if (entry.isSymbolicLink() && links++ < MAX_LINKS) {
        folders.add(at)
        walk(join(resolve(at, readlinkSync(next)), absolute.slice(next.length)))
        return
      }
      at = next
    }
    folders.add(dirname(at))
  }
  walk(path)
  return [...folders]
}
