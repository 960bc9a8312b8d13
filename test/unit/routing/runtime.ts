import type { Runtime } from '../../../src/config/services.ts'

/** A runtime whose layers are this map. */
export function runtimeOf(values: Readonly<Record<string, string>> = {}): Runtime {
  const get = (key: string): string | undefined => values[key]
  return {
    get,
    integer: (key, defaultValue) => Number(get(key) ?? defaultValue),
    double: (key, defaultValue) => Number(get(key) ?? defaultValue),
    boolean: (key, defaultValue) => (get(key) ?? String(defaultValue)) === 'true',
    fraction(key, numerator, denominator, random) {
      const value = get(key)
      return value === undefined ? random % denominator < numerator : random % 100 < Number(value)
    },
  }
}
