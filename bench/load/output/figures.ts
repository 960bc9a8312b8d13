/** Numbers for people. */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en')
}

/** `value` in `unit`: bytes get a fitting prefix, everything else three significant digits or whole numbers. */
export function figure(value: number, unit: string): string {
  if (unit.startsWith('B')) return `${bytes(value)}${unit.slice(1)}`
  if (Math.abs(value) >= 100) return count(value)
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2)
}

export function mebibytes(value: number | undefined): string {
  return value === undefined ? '' : (value / 1048576).toFixed(0)
}

function bytes(value: number): string {
  const size = Math.abs(value)
  if (size >= 1 << 30) return `${(value / (1 << 30)).toFixed(2)} GiB`
  if (size >= 1 << 20) return `${(value / (1 << 20)).toFixed(1)} MiB`
  if (size >= 1 << 10) return `${(value / 1024).toFixed(1)} KiB`
  return `${value.toFixed(0)} B`
}
