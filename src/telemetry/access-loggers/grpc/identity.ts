/** A message as text: loggers that are configured the same have the same. */
export function identityOf(proto: object): string {
  return JSON.stringify(proto, (_key, value: unknown) => {
    if (typeof value === 'bigint') return `${value}n`
    return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value
  })
}
