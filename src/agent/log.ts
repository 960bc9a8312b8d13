/**
 * Istio's log format, which log collectors parse: `2026-01-01T00:00:00.000000Z\tinfo\t[scope\t]message[\tkey=value …]`,
 * or one JSON object per line with `--log_as_json` (zap's keys as Istio configures them: level, time, scope, msg).
 */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'none'

export interface LogOptions {
  readonly json: boolean
  /** `--log_output_level`: `info` or `default:info,dns:debug`. */
  readonly outputLevel: string
  readonly write: (line: string) => void
}

const RANK: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3, fatal: 4, none: 5 }

let json = false
let thresholds: ReadonlyMap<string, number> = new Map([['default', RANK.info]])
let write: (line: string) => void = line => void process.stdout.write(line)

/** Throws Error with advice when the level string is malformed. */
export function configureLog(options: Partial<LogOptions>): void {
  if (options.json !== undefined) json = options.json
  if (options.outputLevel !== undefined) thresholds = parseLevels(options.outputLevel)
  if (options.write !== undefined) write = options.write
}

export class Logger {
  readonly scope: string

  constructor(scope = 'default') {
    this.scope = scope
  }

  debug(message: string, labels?: Readonly<Record<string, unknown>>): void {
    this.#emit('debug', message, labels)
  }

  info(message: string, labels?: Readonly<Record<string, unknown>>): void {
    this.#emit('info', message, labels)
  }

  warn(message: string, labels?: Readonly<Record<string, unknown>>): void {
    this.#emit('warn', message, labels)
  }

  error(message: string, labels?: Readonly<Record<string, unknown>>): void {
    this.#emit('error', message, labels)
  }

  #emit(level: LogLevel, message: string, labels: Readonly<Record<string, unknown>> | undefined): void {
    const threshold = thresholds.get(this.scope) ?? thresholds.get('all') ?? thresholds.get('default') ?? RANK.info
    if (RANK[level] < threshold) return
    write(formatLine(json, microTimestamp(), level, this.scope, message, labels))
  }
}

export const log = new Logger()

/** Pure; exported for tests. The returned line ends in a newline. */
export function formatLine(
  asJson: boolean,
  time: string,
  level: LogLevel,
  scope: string,
  message: string,
  labels: Readonly<Record<string, unknown>> | undefined,
): string {
  // Istio leaves the name of the default scope out in both encodings.
  const named = scope !== 'default'
  if (asJson) {
    return `${JSON.stringify({ level, time, ...(named ? { scope } : {}), msg: message, ...labels })}\n`
  }
  let line = `${time}\t${level}\t${named ? `${scope}\t` : ''}${message}`
  let separator = '\t'
  for (const [key, value] of Object.entries(labels ?? {})) {
    line += `${separator}${key}=${Array.isArray(value) ? `[${value.join(' ')}]` : String(value)}`
    separator = ' '
  }
  return `${line}\n`
}

function microTimestamp(): string {
  const micros = Math.round((performance.timeOrigin + performance.now()) * 1000)
  const millis = Math.floor(micros / 1000)
  return `${new Date(millis).toISOString().slice(0, -1)}${String(micros % 1000).padStart(3, '0')}Z`
}

function parseLevels(text: string): ReadonlyMap<string, number> {
  const levels = new Map<string, number>([['default', RANK.info]])
  for (const part of text.split(',')) {
    if (part === '') continue
    const colon = part.indexOf(':')
    const scope = colon < 0 ? 'default' : part.slice(0, colon)
    const level = part.slice(colon + 1)
    if (!Object.hasOwn(RANK, level)) {
      throw new Error(`invalid log level "${level}" in --log_output_level=${text}: use ${Object.keys(RANK).join(', ')}`)
    }
    levels.set(scope, RANK[level as LogLevel])
  }
  return levels
}
