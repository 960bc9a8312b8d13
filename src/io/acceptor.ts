import { closeSync, openSync } from 'node:fs'
import { constants } from 'node:os'
import { TimerNode, type TimerOwner } from '../base/timer.ts'
import { adopt, libc, systemError } from './libc.ts'
import { boundAddress, startListening } from './listen-socket.ts'
import { EPOLLIN, type Pollable } from './poller.ts'
import type { SocketLoop } from './socket-loop.ts'

/** Receives accepted sockets as descriptors, for `accept` of `socket-connection.ts`. */
export interface AcceptHandler {
  onAccept(fd: number): void
  /** accept(2) failed (EMFILE, ENFILE, ENOBUFS …); a negative errno. */
  onAcceptError(errno: number): void
}

/** Taken from one queue in a turn; the next are its next turn's. */
const MOST = 64
/** Milliseconds. */
const RETRY = 100

const { EAGAIN, ECONNABORTED, EINTR, EMFILE, ENFILE } = constants.errno

/** Accepts on one listening descriptor of this worker. Takes the descriptor over and closes it. */
export class Acceptor implements Pollable, TimerOwner {
  readonly #loop: SocketLoop
  readonly #handler: AcceptHandler
  readonly #retry: TimerNode
  #fd = -1
  #place = -1
  #asked = false

  constructor(loop: SocketLoop, handler: AcceptHandler) {
    this.#loop = loop
    this.#handler = handler
    this.#retry = new TimerNode(this, 0)
  }

  /** `fd`: a bound socket (listen-socket.ts). Throws the system's error. */
  listen(fd: number, backlog: number): void {
    adopt(fd)
    try {
      startListening(fd, backlog)
      this.#place = this.#loop.clients.add(fd, this, EPOLLIN)
      if (this.#place < 0) throw systemError(this.#place, 'epoll_ctl')
    } catch (error) {
      libc()!.close(fd)
      throw error
    }
    this.#fd = fd
    keepSpare()
  }

  /** That it is bound to; 0 for Unix sockets. */
  get port(): number {
    return boundAddress(this.#fd)?.port ?? 0
  }

  /**
   * Stops accepting; connections go on. `last`: the socket goes with this descriptor, and the kernel resets what waits in its queue,
   * so that is taken first. Whoever comes between the two is lost all the same.
   */
  close(last: boolean): void {
    if (this.#fd < 0) return
    if (last) while (this.#accept()) {}
    this.#loop.timers.cancel(this.#retry)
    this.#loop.clients.remove(this.#place, this.#fd)
    libc()!.close(this.#fd)
    this.#fd = -1
  }

  onReady(events: number): void {
    if (events === 0) this.#asked = false
    if (!this.#accept() || this.#asked) return
    this.#asked = true
    this.#loop.clients.again(this)
  }

  onTimer(): void {
    this.onReady(EPOLLIN)
  }

  /** Whether there may be more. */
  #accept(): boolean {
    const c = libc()!
    for (let i = 0; i < MOST && this.#fd >= 0; i++) {
      const fd = c.accept(this.#fd)
      if (fd >= 0) this.#handler.onAccept(fd)
      else {
        const error = c.errno()
        if (error === -EAGAIN) return false
        if (error === -EINTR || error === -ECONNABORTED) continue
        this.#handler.onAcceptError(error)
        if ((error === -EMFILE || error === -ENFILE) && turnAway(this.#fd)) continue
        // The queue has told that it is not empty; it will not tell again.
        this.#loop.timers.arm(this.#retry, RETRY)
        return false
      }
    }
    return this.#fd >= 0
  }
}

/** A descriptor to give up when there are no more: the client in front of the queue is accepted and closed, instead of left to wait. */
let spare = -1

function keepSpare(): void {
  try {
    if (spare < 0) spare = openSync('/dev/null', 'r')
  } catch {
    // There is none left: `turnAway` asks again.
  }
}

function turnAway(from: number): boolean {
  keepSpare()
  if (spare < 0) return false
  closeSync(spare)
  spare = -1
  const c = libc()!
  const fd = c.accept(from)
  if (fd >= 0) c.close(fd)
  keepSpare()
  return fd >= 0
}
