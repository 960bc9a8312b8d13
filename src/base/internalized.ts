/**
 * The same text as V8 keeps it for names of properties and for literals of the source, of which there is one of a kind: comparing two of
 * them is comparing two pointers. Other strings that are not the same object are compared character by character.
 */
export function internalized(text: string): string {
  return Object.keys({ [text]: 0 })[0]!
}
