import { closeSync, openSync, writeSync } from 'node:fs'

/** Process log in Envoy's words: levels, component names and line format (spdlog patterns), to stderr or --log-path. */
export const LogLevel = { trace: 0, debug: 1, info: 2, warning: 3, error: 4, critical: 5, off: 6 } as const
export type LogLevel = (typeof LogLevel)[keyof typeof LogLevel]

export const LEVEL_NAMES: readonly string[] = ['trace', 'debug', 'info', 'warning', 'error', 'critical', 'off']

/** Envoy's logger names in the order `/logging` lists them; another name in --component-log-level is a fatal error. */
export const COMPONENTS: readonly string[] = (
  'a2a admin ai_protocol_manager alternate_protocols_cache aws assert backtrace basic_auth cache_filter client config ' +
  'connection conn_handler compression credential_injector decompression dns dubbo envoy_bug ext_authz ext_proc rocketmq ' +
  'file filter forward_proxy geolocation grpc happy_eyeballs hc health_checker http http2 hystrix init io jwt json_rpc kafka ' +
  'key_value_store lua local_rate_limit main matcher mcp misc mongo multi_connection notification oauth2 quic quic_stream ' +
  'pool rate_limit_quota rbac rds redis router runtime stats secret sse tap testing thrift tracing upstream udp wasm ' +
  'websocket golang stats_sinks dynamic_modules ip_tagging'
).split(' ')

/** One component's logger. Ask `enabled` first where building the text costs something. */
export interface Log {
  enabled(level: LogLevel): boolean
  trace(text: string): void
  debug(text: string): void
  info(text: string): void
  warning(text: string): void
  error(text: string): void
  critical(text: string): void
}

/** Where lines go: on main the formatter and the file, on a worker a message to main. */
export interface LogSink {
  write(component: string, level: LogLevel, text: string, place: string, thread: number, wall: number): void
}

export const DEFAULT_LOG_FORMAT = '[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v'

/** Level per component, shared by every `Log` of a thread: a change takes effect at once. */
export class LogLevels {
  #default: LogLevel = LogLevel.info
  readonly #byComponent = new Map<string, LogLevel>()

  of(component: string): LogLevel {
    return this.#byComponent.get(component) ?? this.#default
  }

  /** Every component, as `-l` and `/logging?level=` do. */
  setAll(level: LogLevel): void {
    this.#default = level
    this.#byComponent.clear()
  }

  set(component: string, level: LogLevel): void {
    this.#byComponent.set(component, level)
  }

  /** Cloneable form for workers. */
  dump(): [LogLevel, [string, LogLevel][]] {
    return [this.#default, [...this.#byComponent]]
  }

  load(dump: [LogLevel, [string, LogLevel][]]): void {
    this.setAll(dump[0])
    for (const [component, level] of dump[1]) this.#byComponent.set(component, level)
  }
}

/** `warn` is accepted for `warning`, as spdlog does; undefined when there is no such level. */
export function parseLevel(text: string): LogLevel | undefined {
  const index = LEVEL_NAMES.indexOf(text === 'warn' ? 'warning' : text)
  return index < 0 ? undefined : (index as LogLevel)
}

export class Loggers {
  readonly levels = new LogLevels()
  sink: LogSink
  readonly #thread: number
  readonly #made = new Map<string, Log>()

  /** `thread` is printed for %t: the process id on main, distinct numbers on workers. */
  constructor(sink: LogSink, thread: number) {
    this.sink = sink
    this.#thread = thread
  }

  get(component: string): Log {
    let log = this.#made.get(component)
    if (log === undefined) {
      log = new ComponentLog(this, component, this.#thread)
      this.#made.set(component, log)
    }
    return log
  }
}

class ComponentLog implements Log {
  readonly #loggers: Loggers
  readonly #component: string
  readonly #thread: number

  constructor(loggers: Loggers, component: string, thread: number) {
    this.#loggers = loggers
    this.#component = component
    this.#thread = thread
  }

  enabled(level: LogLevel): boolean {
    return level >= this.#loggers.levels.of(this.#component)
  }

  trace(text: string): void {
    this.#write(LogLevel.trace, text)
  }

  debug(text: string): void {
    this.#write(LogLevel.debug, text)
  }

  info(text: string): void {
    this.#write(LogLevel.info, text)
  }

  warning(text: string): void {
    this.#write(LogLevel.warning, text)
  }

  error(text: string): void {
    this.#write(LogLevel.error, text)
  }

  critical(text: string): void {
    this.#write(LogLevel.critical, text)
  }

  #write(level: LogLevel, text: string): void {
    if (!this.enabled(level)) return
    this.#loggers.sink.write(this.#component, level, text, callerPlace(), this.#thread, Date.now())
  }
}

/** `src/server/main.ts:12` of the line that logs. Only lines that are printed pay for it. */
function callerPlace(): string {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 4
  const stack = new Error().stack ?? ''
  Error.stackTraceLimit = limit
  const line = stack.split('\n')[4] ?? ''
  const place = /(?:[/( ]|^)((?:src|dist)\/[^():]+:\d+):\d+\)?$/.exec(line)
  return place?.[1] ?? 'src:0'
}

type LineFormat = (
  component: string,
  level: LogLevel,
  text: string,
  place: string,
  thread: number,
  wall: number,
) => string

/** Writes formatted lines to a descriptor; `reopen` after rotation. Synchronous, so that the last words of a failing start are seen. */
export class FileLogSink implements LogSink {
  #format: LineFormat
  readonly #path: string
  readonly #escaped: boolean
  #fd: number

  /** `path` '' = stderr. Throws the system error when the file cannot be opened. */
  constructor(path: string, pattern: string, escaped: boolean) {
    this.#path = path
    this.#fd = path === '' ? 2 : openSync(path, 'a', 0o644)
    this.#escaped = escaped
    this.#format = compilePattern(pattern, escaped)
  }

  /** An spdlog pattern for the lines from here on. */
  usePattern(pattern: string): void {
    this.#format = compilePattern(pattern, this.#escaped)
  }

  write(component: string, level: LogLevel, text: string, place: string, thread: number, wall: number): void {
    try {
      writeSync(this.#fd, this.#format(component, level, text, place, thread, wall))
    } catch {
      // A full disk or a closed stderr must not take the proxy down.
    }
  }

  reopen(): void {
    if (this.#path === '') return
    const fresh = openSync(this.#path, 'a', 0o644)
    closeSync(this.#fd)
    this.#fd = fresh
  }
}

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const SHORT_LEVELS = 'TDIWECO'

type Line = { component: string; level: LogLevel; text: string; place: string; thread: number; date: Date }

const two = (n: number): string => (n < 10 ? `0${n}` : `${n}`)
const clock = (d: Date): string => `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`
const file = (l: Line): string => l.place.slice(0, l.place.lastIndexOf(':'))

/** spdlog's flags, plus Envoy's own: `%j` JSON-escaped message, `%_` message with line breaks escaped. */
const FLAGS: Readonly<Record<string, (l: Line) => string>> = {
  v: l => l.text,
  j: l => JSON.stringify(l.text).slice(1, -1),
  _: l => l.text.replaceAll('\n', '\\n'),
  t: l => `${l.thread}`,
  P: () => `${process.pid}`,
  n: l => l.component,
  l: l => LEVEL_NAMES[l.level] ?? '',
  L: l => SHORT_LEVELS[l.level] ?? '',
  a: l => DAYS[l.date.getDay()] ?? '',
  b: l => MONTHS[l.date.getMonth()] ?? '',
  C: l => two(l.date.getFullYear() % 100),
  Y: l => `${l.date.getFullYear()}`,
  D: l => `${two(l.date.getMonth() + 1)}/${two(l.date.getDate())}/${two(l.date.getFullYear() % 100)}`,
  x: l => `${two(l.date.getMonth() + 1)}/${two(l.date.getDate())}/${two(l.date.getFullYear() % 100)}`,
  m: l => two(l.date.getMonth() + 1),
  d: l => two(l.date.getDate()),
  H: l => two(l.date.getHours()),
  I: l => two(l.date.getHours() % 12 || 12),
  M: l => two(l.date.getMinutes()),
  S: l => two(l.date.getSeconds()),
  e: l => `${l.date.getMilliseconds()}`.padStart(3, '0'),
  f: l => `${l.date.getMilliseconds() * 1000}`.padStart(6, '0'),
  F: l => `${l.date.getMilliseconds() * 1000000}`.padStart(9, '0'),
  E: l => `${Math.floor(l.date.getTime() / 1000)}`,
  p: l => (l.date.getHours() < 12 ? 'AM' : 'PM'),
  T: l => clock(l.date),
  X: l => clock(l.date),
  R: l => clock(l.date).slice(0, 5),
  z: l => offset(l.date),
  g: file,
  s: l => file(l).slice(file(l).lastIndexOf('/') + 1),
  '#': l => l.place.slice(l.place.lastIndexOf(':') + 1),
  '@': l => l.place,
  '!': () => '',
  '^': () => '',
  $: () => '',
  '*': () => '',
  '%': () => '%',
}

function offset(date: Date): string {
  const minutes = -date.getTimezoneOffset()
  const abs = Math.abs(minutes)
  return `${minutes < 0 ? '-' : '+'}${two(Math.floor(abs / 60))}:${two(abs % 60)}`
}

/** Compiles an spdlog pattern; an unknown flag is printed as it stands, as spdlog does. `escaped`: --log-format-escaped. */
export function compilePattern(pattern: string, escaped: boolean): LineFormat {
  const parts: (string | ((l: Line) => string))[] = []
  let literal = ''
  for (let i = 0; i < pattern.length; i++) {
    const flag = pattern[i] === '%' ? pattern[i + 1] : undefined
    const render = flag === undefined ? undefined : FLAGS[flag]
    if (render === undefined) {
      literal += pattern[i]
      continue
    }
    if (literal !== '') parts.push(literal)
    literal = ''
    parts.push(render)
    i++
  }
  if (literal !== '') parts.push(literal)
  return (component, level, text, place, thread, wall) => {
    const shown = escaped ? escapeControls(text) : text
    const line: Line = { component, level, text: shown, place, thread, date: new Date(wall) }
    let out = ''
    for (const part of parts) out += typeof part === 'string' ? part : part(line)
    return `${out}\n`
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '"': '\\"',
  "'": "\\'",
  '\\': '\\\\',
}

function escapeControls(text: string): string {
  return text.replace(/[\n\r\t"'\\]/g, c => ESCAPES[c] ?? c)
}
