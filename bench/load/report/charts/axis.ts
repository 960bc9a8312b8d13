/** Round numbers from 0 to at least `max`. */
export function linearTicks(max: number, about: number): number[] {
  if (!(max > 0)) return [0, 1]
  const raw = max / about
  const power = 10 ** Math.floor(Math.log10(raw))
  const step = [1, 2, 2.5, 5, 10].map(factor => factor * power).find(candidate => candidate >= raw * 0.999)!
  const ticks: number[] = []
  for (let i = 0; ; i++) {
    const tick = Number((i * step).toPrecision(12))
    ticks.push(tick)
    if (tick >= max) return ticks
  }
}

/** As linearTicks, in steps of powers of two: sizes are read in KiB and MiB. */
export function byteTicks(max: number, about: number): number[] {
  const step = 2 ** Math.ceil(Math.log2(Math.max(max, 1) / about))
  return Array.from({ length: Math.ceil(max / step) + 1 }, (_, i) => i * step)
}

/** 1, 2 and 5 times powers of ten (or the powers alone, where there are many) that enclose both values. */
export function logTicks(min: number, max: number): number[] {
  const from = Math.floor(Math.log10(min))
  const to = Math.ceil(Math.log10(max))
  const factors = to - from > 3 ? [1] : [1, 2, 5]
  const ticks: number[] = []
  for (let power = from; power <= to; power++) for (const factor of factors) ticks.push(factor * 10 ** power)
  let first = ticks.findIndex(tick => tick > min * 1.0001) - 1
  if (first < 0) first = 0
  let last = ticks.findIndex(tick => tick >= max * 0.9999)
  if (last < 0) last = ticks.length - 1
  return ticks.slice(first, Math.max(last, first + 1) + 1).map(tick => Number(tick.toPrecision(3)))
}

/** Position of a value between two pixels. */
export type Scale = (value: number) => number

export function linearScale(from: number, to: number, start: number, end: number): Scale {
  return value => start + ((value - from) / (to - from || 1)) * (end - start)
}

export function logScale(from: number, to: number, start: number, end: number): Scale {
  const low = Math.log(from)
  const span = Math.log(to) - low || 1
  return value => start + ((Math.log(Math.max(value, Number.MIN_VALUE)) - low) / span) * (end - start)
}

/** Pixels with one decimal: enough for the eye, and half the size of the page. */
export function px(value: number): number {
  return Math.round(value * 10) / 10
}
