import { availableParallelism } from 'node:os'
import { COMPONENTS, DEFAULT_LOG_FORMAT, type LogLevel, parseLevel } from '../base/log.ts'
import { HOT_RESTART_VERSION, VERSION_TEXT } from '../base/version.ts'
import type { EnvoyOptions } from '../server/envoy-options.ts'
import { OPTIONS, type OptionSpec } from './option-table.ts'

export type { EnvoyOptions }

/** What a command line asks for: run, or print and leave. */
export type CommandLine =
  | { readonly kind: 'run'; readonly options: EnvoyOptions }
  | { readonly kind: 'exit'; readonly code: number; readonly stdout: string; readonly stderr: string }

type Values = Map<string, string | boolean | string[]>

/** Reads argv (without the program). Never throws: a wrong command line is an exit with Envoy's text. */
export function parseCommandLine(argv: readonly string[], program: string): CommandLine {
  const values: Values = new Map()
  for (let i = 0; i < argv.length; i++) {
    const token = argv[i]!
    if (token === '--' || token === '--ignore_rest') break
    if (token === '-h' || token === '--help') return { kind: 'exit', code: 0, stdout: helpText(program), stderr: '' }
    if (token === '--version') {
      return { kind: 'exit', code: 0, stdout: `\n${program}  version: ${VERSION_TEXT}\n\n`, stderr: '' }
    }
    const spec = OPTIONS.find(o => token === `--${o.name}` || (o.short !== undefined && token === `-${o.short}`))
    // TCLAP, which Envoy uses, knows neither `--name=value` nor `-cvalue`.
    if (spec === undefined) return parseError(program, token, "Couldn't find match for argument")
    if (spec.kind !== 'list' && values.has(spec.name)) return parseError(program, shown(spec), 'Argument already set!')
    if (spec.kind === 'bool') {
      values.set(spec.name, true)
      continue
    }
    const value = argv[++i]
    if (value === undefined) return parseError(program, shown(spec), 'Missing a value for this argument!')
    if (spec.kind === 'uint' && !/^[+-]?\d+$/.test(value)) {
      return parseError(program, shown(spec), `Couldn't read argument value from string '${value}'`)
    }
    if (spec.kind === 'list') values.set(spec.name, [...((values.get(spec.name) as string[] | undefined) ?? []), value])
    else values.set(spec.name, value)
  }
  if (values.get('hot-restart-version') === true) {
    const text = values.get('disable-hot-restart') === true ? 'disabled' : HOT_RESTART_VERSION
    return { kind: 'exit', code: 0, stdout: text, stderr: '' }
  }
  try {
    return { kind: 'run', options: interpret(values) }
  } catch (error) {
    if (!(error instanceof OptionError)) throw error
    return { kind: 'exit', code: 1, stdout: '', stderr: `error: ${error.message}\n` }
  }
}

class OptionError extends Error {}

function interpret(values: Values): EnvoyOptions {
  const text = (name: string, fallback = ''): string => (values.get(name) as string | undefined) ?? fallback
  const flag = (name: string): boolean => values.get(name) === true
  const uint = (name: string, fallback: number): number => {
    const value = values.get(name)
    // uint32 arithmetic: -1 is 4294967295 for TCLAP; huge numbers of workers are refused by whoever uses them.
    return value === undefined ? fallback : Number(BigInt.asUintN(32, BigInt(value as string)))
  }
  const mode = text('mode', 'serve')
  if (mode !== 'serve' && mode !== 'validate' && mode !== 'init_only') throw new OptionError(`unknown mode '${mode}'`)
  const levelText = text('log-level', 'info')
  const logLevel = parseLevel(levelText)
  if (logLevel === undefined) throw new OptionError(`invalid log level specified '${levelText}'`)
  const componentLogLevels = componentLevels(text('component-log-level'))
  const ipVersion = text('local-address-ip-version', 'v4')
  if (ipVersion !== 'v4' && ipVersion !== 'v6') throw new OptionError(`unknown IP address version '${ipVersion}'`)
  const strategy = text('drain-strategy', 'gradual')
  // Envoy prints the value of --mode here; the mistake is copied because scripts match the text.
  if (strategy !== 'gradual' && strategy !== 'immediate') throw new OptionError(`unknown drain-strategy '${mode}'`)
  const warnings = [...values.keys()].flatMap(name => {
    const note = OPTIONS.find(o => o.name === name)?.note
    return note === undefined ? [] : [`--${name} has no effect: ${note}`]
  })
  const restartEpoch = uint('restart-epoch', 0)
  if (restartEpoch > 0)
    warnings.push(`--restart-epoch ${restartEpoch}: hot restart is not supported yet, starting afresh`)
  const disabled = text('disable-extensions')
  return {
    configPath: text('config-path'),
    configYaml: text('config-yaml'),
    mode,
    concurrency: Math.max(1, uint('concurrency', availableParallelism())),
    logLevel,
    componentLogLevels,
    componentLogLevelText: text('component-log-level'),
    logFormat: text('log-format', DEFAULT_LOG_FORMAT),
    logFormatGiven: values.has('log-format'),
    logFormatEscaped: flag('log-format-escaped'),
    logPath: text('log-path'),
    serviceNode: text('service-node'),
    serviceCluster: text('service-cluster'),
    serviceZone: text('service-zone'),
    baseId: uint('base-id', 0),
    useDynamicBaseId: flag('use-dynamic-base-id'),
    baseIdPath: text('base-id-path'),
    restartEpoch,
    disableHotRestart: flag('disable-hot-restart'),
    adminAddressPath: text('admin-address-path'),
    localAddressIpVersion: ipVersion,
    drainTime: uint('drain-time-s', 600),
    drainStrategy: strategy,
    parentShutdownTime: uint('parent-shutdown-time-s', 900),
    fileFlushInterval: uint('file-flush-interval-msec', 10_000),
    fileFlushMinSizeKb: uint('file-flush-min-size-kb', 64),
    statsTags: statsTags((values.get('stats-tag') as string[] | undefined) ?? []),
    allowUnknownStaticFields: flag('allow-unknown-static-fields') || flag('allow-unknown-fields'),
    rejectUnknownDynamicFields: flag('reject-unknown-dynamic-fields'),
    ignoreUnknownDynamicFields: flag('ignore-unknown-dynamic-fields'),
    skipDeprecatedLogs: flag('skip-deprecated-logs'),
    disabledExtensions: disabled === '' ? [] : disabled.split(','),
    warnings,
    raw: values,
  }
}

function componentLevels(text: string): [string, LogLevel][] {
  if (text === '') return []
  return text.split(',').map(part => {
    const [component = '', level, ...rest] = part.split(':')
    if (level === undefined || rest.length > 0) {
      throw new OptionError(`component log level not correctly specified '${part}'`)
    }
    const parsed = parseLevel(level)
    if (parsed === undefined) throw new OptionError(`invalid log level specified '${level}'`)
    if (!COMPONENTS.includes(component)) throw new OptionError(`invalid component specified '${component}'`)
    return [component, parsed]
  })
}

function statsTags(tags: readonly string[]): [string, string][] {
  const seen = new Set<string>()
  return tags.map(tag => {
    const colon = tag.indexOf(':')
    const name = tag.slice(0, colon)
    const value = tag.slice(colon + 1)
    if (colon < 0) throw new OptionError(`misformatted stats-tag '${tag}'`)
    if (!/^[A-Za-z0-9]+$/.test(name)) {
      throw new OptionError(`misformatted stats-tag '${tag}' contains invalid char in '${name}'`)
    }
    if (value === '' || value.includes('.')) {
      throw new OptionError(`misformatted stats-tag '${tag}' contains invalid char in '${value}'`)
    }
    if (seen.has(name)) throw new OptionError(`multiple values for stats-tag '${name}'`)
    seen.add(name)
    return [name, value]
  })
}

function shown(spec: OptionSpec): string {
  return spec.short === undefined ? `(--${spec.name})` : `-${spec.short} (--${spec.name})`
}

/** TCLAP's two voices: its own on stderr, and Envoy's exception text after it. */
function parseError(program: string, argument: string, text: string): CommandLine {
  const stderr =
    `PARSE ERROR: Argument: ${argument}\n             ${text}\n\n` +
    `Brief USAGE: \n${briefUsage(program)}\n\nFor complete USAGE and HELP type: \n   ${program} --help\n\n` +
    `${argument} -- ${text}\n`
  return { kind: 'exit', code: 1, stdout: '', stderr }
}

const WIDTH = 75

function helpText(program: string): string {
  let out = `\nUSAGE: \n\n${briefUsage(program)}\n\n\nWhere: \n\n`
  const rows: [string, string][] = OPTIONS.map(o => {
    const long = `--${o.name}${valueName(o)}`
    const head = o.short === undefined ? long : `-${o.short}${valueName(o)},  ${long}`
    return [o.kind === 'list' ? `${head}  (accepted multiple times)` : head, o.help]
  })
  rows.push(['--,  --ignore_rest', 'Ignores the rest of the labeled arguments following this flag.'])
  rows.push(['--version', 'Displays version information and exits.'])
  rows.push(['-h,  --help', 'Displays usage information and exits.'])
  for (const [head, help] of rows) {
    out += `${wrap(head, 3, 3)}\n`
    for (const part of help.split('\n')) out += part === '' ? '\n' : `${wrap(part, 5, 0)}\n`
    out += '\n'
  }
  return `${out}\n${wrap('envoy', 3, 0)}\n\n`
}

function briefUsage(program: string): string {
  let line = `${program} `
  for (const o of OPTIONS)
    line += ` [${o.short === undefined ? `--${o.name}` : `-${o.short}`}${valueName(o)}]${o.kind === 'list' ? ' ...' : ''}`
  line += ' [--] [--version] [-h]'
  return wrap(line, 3, Math.min(program.length + 2, WIDTH / 2))
}

function valueName(o: OptionSpec): string {
  if (o.kind === 'bool') return ''
  return o.kind === 'uint' ? ' <uint32_t>' : ' <string>'
}

/** TCLAP's spacePrint: breaks at blanks, commas and bars; later lines are set in by `hang` more. */
function wrap(text: string, indent: number, hang: number): string {
  const lines: string[] = []
  let rest = text
  let width = WIDTH - indent
  let lead = indent
  while (rest.length > 0) {
    if (rest.length <= width) {
      lines.push(' '.repeat(lead) + rest)
      break
    }
    let cut = width
    while (cut > 0 && !' ,|'.includes(rest[cut]!)) cut--
    if (cut === 0) cut = width
    lines.push(' '.repeat(lead) + rest.slice(0, cut))
    rest = rest.slice(cut).replace(/^ +/, '')
    if (lines.length === 1) {
      lead += Math.floor(hang)
      width -= Math.floor(hang)
    }
  }
  return lines.join('\n')
}
