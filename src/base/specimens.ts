const specimens = new Map<unknown, object>()

/**
 * Keeps the last object of each kind, with all that hangs on it. V8 forgets the shapes (hidden classes) of classes that nothing alive is
 * of when it collects for an idle thread, and throws away the machine code that was made for them: the first second of traffic after a
 * rest of some seconds cost a third more. For connections that have closed, whose graph has one object of nearly every class of the hot
 * path. `kind`: its class, or what else tells apart objects with other classes below them.
 */
export function keepSpecimen(kind: unknown, object: object): void {
  specimens.set(kind, object)
}
