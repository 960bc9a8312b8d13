import { parseDuration } from '../base/go-duration.ts'

/**
 * Command-line flags in the style of Go's pflag, which both pilot-agent and Envoy users type:
 * `--name value`, `--name=value`, `-n value`, `-nvalue`, `-n=value`, bundled booleans `-ab`, `--` ends the flags.
 * Operands may stand between flags. An unknown flag is an error that names the nearest known one, unless the command
 * takes them: then it is skipped, with the operand behind it, and listed.
 */
export interface FlagSpec {
  readonly name: string
  readonly short?: string
  readonly kind: 'string' | 'bool' | 'int' | 'duration'
  readonly default: string
  readonly usage: string
  /** Environment variables that replace the default; a later one wins, the command line wins over all. */
  readonly env?: readonly string[]
  /** Why the flag cannot be honoured. Setting it to anything but its default is an error, never silence. */
  readonly unsupported?: string
}

/** The command line is wrong. The message is for the person who typed it. */
export class FlagError extends Error {
  override readonly name = 'FlagError'
}

/** Result of `parseFlags`: typed access by flag name, and what was left over. */
export class Flags {
  readonly operands: readonly string[]
  /** Flags that were skipped, as typed; empty unless the command takes unknown flags. */
  readonly unknown: readonly string[]
  readonly #values: ReadonlyMap<string, string>

  constructor(values: ReadonlyMap<string, string>, operands: readonly string[], unknown: readonly string[]) {
    this.#values = values
    this.operands = operands
    this.unknown = unknown
  }

  string(name: string): string {
    const value = this.#values.get(name)
    if (value === undefined) throw new Error(`flag --${name} is not declared`)
    return value
  }

  bool(name: string): boolean {
    return this.string(name) === 'true'
  }

  int(name: string): number {
    return Number(this.string(name))
  }

  /** Milliseconds. */
  duration(name: string): number {
    return parseDuration(this.string(name)) as number
  }

  /** Every flag with its value in name order, as the agent prints them at start. */
  entries(): [string, string][] {
    return [...this.#values].sort((a, b) => (a[0] < b[0] ? -1 : 1))
  }
}

/** Throws FlagError for an unknown flag, a value of the wrong kind, a missing value or an unsupported flag. */
export function parseFlags(
  specs: readonly FlagSpec[],
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>> = {},
  takesUnknown = false,
): Flags {
  const byName = new Map<string, FlagSpec>()
  const byShort = new Map<string, FlagSpec>()
  const values = new Map<string, string>()
  for (const spec of specs) {
    byName.set(spec.name, spec)
    if (spec.short !== undefined) byShort.set(spec.short, spec)
    values.set(spec.name, spec.default)
    for (const variable of spec.env ?? []) {
      const value = env[variable]
      if (value !== undefined) values.set(spec.name, normalise(spec, value, `environment variable ${variable}`))
    }
  }

  const operands: string[] = []
  const unknown: string[] = []
  // What follows an unknown flag is taken for its value, as pflag's ParseErrorsWhitelist has it.
  const afterUnknown = (i: number): number => (/^[^-]|^$/.test(argv[i + 1] ?? '-') ? i + 1 : i)
  for (let i = 0; i < argv.length; i++) {
    const token = argv[i] as string
    if (token === '--') {
      operands.push(...argv.slice(i + 1))
      break
    }
    if (token.startsWith('--')) {
      const equals = token.indexOf('=')
      const name = equals < 0 ? token.slice(2) : token.slice(2, equals)
      const spec = byName.get(name)
      if (spec === undefined) {
        if (!takesUnknown) throw new FlagError(`unknown flag: --${name}${suggestion(name, byName.keys())}`)
        unknown.push(token)
        if (equals < 0) i = afterUnknown(i)
        continue
      }
      if (equals >= 0) values.set(name, normalise(spec, token.slice(equals + 1), token))
      else if (spec.kind === 'bool') values.set(name, 'true')
      else values.set(name, normalise(spec, valueAfter(argv, ++i, token), token))
    } else if (token.startsWith('-') && token !== '-') {
      if (takesUnknown && !byShort.has(token[1] as string)) {
        unknown.push(token)
        if (token[2] !== '=') i = afterUnknown(i)
        continue
      }
      i = readShorthands(token, argv, i, byShort, values)
    } else {
      operands.push(token)
    }
  }

  for (const spec of specs) {
    if (spec.unsupported !== undefined && values.get(spec.name) !== spec.default) {
      throw new FlagError(`--${spec.name}=${values.get(spec.name)} is not supported: ${spec.unsupported}`)
    }
  }
  return new Flags(values, operands, unknown)
}

function readShorthands(
  token: string,
  argv: readonly string[],
  index: number,
  byShort: ReadonlyMap<string, FlagSpec>,
  values: Map<string, string>,
): number {
  for (let at = 1; at < token.length; at++) {
    const letter = token[at] as string
    const spec = byShort.get(letter)
    if (spec === undefined) {
      const known = [...byShort.keys()].sort().map(s => `-${s}`)
      throw new FlagError(`unknown shorthand flag: '${letter}' in ${token}; known: ${known.join(' ')}`)
    }
    const rest = token.slice(at + 1)
    if (rest.startsWith('=')) {
      values.set(spec.name, normalise(spec, rest.slice(1), token))
      return index
    }
    if (spec.kind === 'bool') {
      values.set(spec.name, 'true')
      continue
    }
    if (rest !== '') {
      values.set(spec.name, normalise(spec, rest, token))
      return index
    }
    values.set(spec.name, normalise(spec, valueAfter(argv, index + 1, token), token))
    return index + 1
  }
  return index
}

function valueAfter(argv: readonly string[], index: number, token: string): string {
  const value = argv[index]
  if (value === undefined) throw new FlagError(`flag needs an argument: ${token}`)
  return value
}

function normalise(spec: FlagSpec, value: string, where: string): string {
  switch (spec.kind) {
    case 'string':
      return value
    case 'bool':
      // strconv.ParseBool's spellings.
      if (/^(1|t|T|TRUE|true|True)$/.test(value)) return 'true'
      if (/^(0|f|F|FALSE|false|False)$/.test(value)) return 'false'
      throw new FlagError(`invalid argument "${value}" for --${spec.name} (${where}): expected true or false`)
    case 'int':
      if (/^[+-]?[0-9]{1,15}$/.test(value)) return String(Number(value))
      throw new FlagError(`invalid argument "${value}" for --${spec.name} (${where}): expected a whole number`)
    case 'duration':
      if (parseDuration(value) !== undefined) return value
      throw new FlagError(`invalid argument "${value}" for --${spec.name} (${where}): expected a duration such as 5s`)
  }
}

/** `; did you mean --name?`, or nothing when no known name is near. */
export function suggestion(name: string, known: Iterable<string>): string {
  let best = ''
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best === '' ? '' : `; did you mean --${best}?`
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitute = (previous[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min(substitute, (previous[j] as number) + 1, (row[j - 1] as number) + 1))
    }
    previous = row
  }
  return previous[b.length] as number
}
