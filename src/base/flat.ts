/** One piece of memory of its own: neither a rope nor a window into a head that came in. */
export function flat(text: string): string {
  return Buffer.from(text, 'latin1').latin1Slice(0, text.length)
}
