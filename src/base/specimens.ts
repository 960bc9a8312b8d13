const specimens = new Map<unknown, object>()

/**
 * Keeps the last object of each kind, with all that hangs on it. V8 forgets the shapes (hidden classes) of classes that nothing alive is
 * of when it collects for an idle thread, and throws away the machine code that was made for them, which the next requests have to wait
 * for again. For connections that have closed, whose graph has one object of nearly every class of the hot path. `kind`: its class, or
 * what else tells apart objects with other classes below them.
 */
export function keepSpecimen(kind: unknown, object: object): void {
  specimens.set(kind, object)
}

/**
 * The same for objects that live for a request or a turn, where a map would cost too much: who makes one puts it here. One for the
 * thread, not one for each connection, which would hold what its last request has used for as long as it idles.
 */
export const lastMade: {
  serverStream: object | null
  clientStream: object | null
  immediate: object | null
} = { serverStream: null, clientStream: null, immediate: null }
