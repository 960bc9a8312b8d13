import { writeFileSync } from 'node:fs'
import type { Session } from 'node:inspector'

/** What V8 samples of this thread between `start` and `stop`, as a .cpuprofile that browsers' tools and speedscope read. */
export class CpuProfile {
  #session: Session | null = null

  /** Once more while it runs changes nothing. */
  start(): void {
    if (this.#session !== null) return
    const { Session } = process.getBuiltinModule('node:inspector')
    const session = new Session()
    session.connect()
    session.post('Profiler.enable')
    session.post('Profiler.start')
    this.#session = session
  }

  /** Writes the file. Throws the system error when it cannot be written; the profile is lost then. */
  stop(path: string): void {
    const session = this.#session
    if (session === null) return
    this.#session = null
    let text = ''
    // Answers of one's own thread come inside the call.
    session.post('Profiler.stop', (error, result) => {
      if (error === null) text = JSON.stringify(result.profile)
    })
    session.disconnect()
    writeFileSync(path, text)
  }
}
