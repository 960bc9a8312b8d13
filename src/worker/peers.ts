import type { MessagePort } from 'node:worker_threads'
import { closeSocket, duplicate } from '../io/listen-socket.ts'

/** An accepted connection on its way to another worker, or the answer that it has arrived. */
type PeerMessage = { readonly tag: number; readonly fd: number } | { readonly done: number; readonly served: boolean }

/** What happens to connections that change workers. */
export interface PeerEvents {
  /** From another worker; the receiver owns the descriptor, -1 = no more descriptors can be had. False: nobody serves it. */
  onReceived(tag: number, fd: number): boolean
  /** The other worker does not serve the connection of this tag, or died before it could say. */
  onLost(tag: number): void
}

/**
 * The other workers. A connection is handed over as the number of its descriptor, of which the receiver makes a duplicate of its own;
 * the giver keeps the original open, unread, until it hears that this is done, so that no death of a thread leaks a descriptor.
 */
export class Peers {
  readonly #events: PeerEvents
  readonly #ports = new Map<number, MessagePort>()
  readonly #given = new Map<number, Map<number, number>>()

  constructor(events: PeerEvents) {
    this.#events = events
  }

  /** Main has made a channel to `worker`. */
  connect(worker: number, port: MessagePort): void {
    const given = new Map<number, number>()
    this.#ports.set(worker, port)
    this.#given.set(worker, given)
    port.on('message', (message: PeerMessage) => {
      if ('done' in message) this.#done(given, message.done, message.served)
      else this.#receive(message.tag, message.fd, port)
    })
    port.on('close', () => {
      if (this.#ports.get(worker) === port) this.#ports.delete(worker)
      for (const fd of [...given.keys()]) this.#done(given, fd, false)
    })
  }

  /** False: it stays with the caller. */
  give(worker: number, tag: number, fd: number): boolean {
    const port = this.#ports.get(worker)
    if (port === undefined) return false
    this.#given.get(worker)!.set(fd, tag)
    port.postMessage({ tag, fd } satisfies PeerMessage)
    return true
  }

  #done(given: Map<number, number>, fd: number, served: boolean): void {
    const tag = given.get(fd)
    if (tag === undefined) return
    given.delete(fd)
    closeSocket(fd)
    if (!served) this.#events.onLost(tag)
  }

  #receive(tag: number, fd: number, port: MessagePort): void {
    let own = -1
    try {
      own = duplicate(fd)
    } catch {
      // The process has no descriptors left: the giver's is the last one, and the client sees a close.
    }
    const served = this.#events.onReceived(tag, own)
    port.postMessage({ done: fd, served } satisfies PeerMessage)
  }
}
