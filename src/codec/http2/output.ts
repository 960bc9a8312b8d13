/**
 * Where frames are serialised: one slab per thread, so that an idle connection holds no write buffer. The connection
 * that writes owns the tail of the slab; when another one writes, when the slab is full, and at the end of the turn, the
 * tail goes to its owner's socket in one piece. Memory once handed out is never written again.
 */

const SLAB_SIZE = 32 * 1024

export interface OutputOwner {
  /** Takes bytes in order; they are the receiver's. */
  send(bytes: Uint8Array): void
}

class Output {
  bytes: Buffer = Buffer.allocUnsafeSlow(SLAB_SIZE)
  /** Where the next frame goes; the writer moves it. */
  at = 0
  private start = 0
  private owner: OutputOwner | null = null
  private nesting = 0
  private scheduled = false

  /** Makes room for `bytes` more of `owner`, contiguous from `at`. */
  reserve(owner: OutputOwner, bytes: number): void {
    if (this.owner !== owner) {
      this.flush()
      this.owner = owner
      if (this.nesting === 0 && !this.scheduled) {
        this.scheduled = true
        queueMicrotask(flushScheduled)
      }
    }
    if (this.bytes.length - this.at < bytes) this.replace(bytes)
  }

  flush(): void {
    const owner = this.owner
    if (owner === null) return
    this.owner = null
    if (this.at === this.start) return
    const bytes = this.bytes.subarray(this.start, this.at)
    this.start = this.at
    owner.send(bytes)
  }

  /** Hands out what `owner` has here, before it sends something else on its own. */
  flushOf(owner: OutputOwner): void {
    if (this.owner === owner) this.flush()
  }

  /** Forgets what `owner` has here: its connection is gone. */
  drop(owner: OutputOwner): void {
    if (this.owner !== owner) return
    this.owner = null
    this.at = this.start
  }

  /** Between `enter` and the matching `leave` nothing is scheduled: `leave` flushes. */
  enter(): void {
    this.nesting++
  }

  leave(): void {
    if (--this.nesting === 0) this.flush()
  }

  endTurn(): void {
    this.scheduled = false
    this.flush()
  }

  private replace(bytes: number): void {
    const owner = this.owner
    this.flush()
    this.owner = owner
    this.bytes = Buffer.allocUnsafeSlow(Math.max(bytes, SLAB_SIZE))
    this.at = 0
    this.start = 0
  }
}

export const output = new Output()

function flushScheduled(): void {
  output.endTurn()
}
