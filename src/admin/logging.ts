import { COMPONENTS, LEVEL_NAMES, type LogLevel, type LogLevels } from '../base/log.ts'
import { type AdminHandler, type AdminRequest, type AdminResponse, choice, text } from './handler.ts'

const USAGE =
  'usage: /logging?<name>=<level> (change single level)\n' +
  'usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)\n' +
  'usage: /logging?level=<level> (change all levels)\n' +
  'usage: /logging?group=<group_name>:<level> (change group of loggers)\n' +
  `levels: ${LEVEL_NAMES.join(' ')} \n`

/** `changed`: levels were set, workers are to hear of it. */
export function loggingHandler(levels: LogLevels, changed: () => void): AdminHandler {
  return {
    path: '/logging',
    help: 'query/change logging levels',
    parameters: [
      text(
        'paths',
        'Change multiple logging levels by setting to <logger_name1>:<desired_level1>,<logger_name2>:<desired_level2>. If fine ' +
          'grain logging is enabled, use __FILE__ or a glob experision as the logger name. For example, source/common*:warning',
      ),
      text(
        'group',
        'Change given logger group to desired level, set to <logger_group_name>:<desired_level>. logger_group_name must be a ' +
          'logger name.',
      ),
      choice('level', "desired logging level, this will change all loggers's level", ['', ...LEVEL_NAMES]),
    ],
    mutates: true,
    handle(request) {
      const error = change(levels, request, changed)
      if (error === '') return { status: 200, body: loggers(levels) }
      // The list follows in both cases: it says which names there are.
      return refused(`error: ${error}\n\n${USAGE}${loggers(levels)}`)
    },
  }
}

/** '' = done (or nothing to do), else Envoy's text. Nothing is changed when anything is wrong. */
function change(levels: LogLevels, { query }: AdminRequest, changed: () => void): string {
  if (query.size > 1) {
    // The home page sends all of its fields, the empty ones too.
    const filled = [...query].filter(([, value]) => value !== '')
    if (filled.length > 1) return 'invalid number of parameters'
    if (filled.length === 0) return ''
    return set(levels, filled[0]!, changed)
  }
  const [only] = query
  return only === undefined ? '' : set(levels, only, changed)
}

function set(levels: LogLevels, [name, value]: readonly [string, string], changed: () => void): string {
  if (value === '') return ''
  const wanted: (readonly [string, LogLevel])[] = []
  if (name === 'group') return 'group parameter requires fine-grain logging to be enabled'
  if (name === 'level') {
    const level = levelOf(value)
    if (level === null) return 'unknown logger level'
    levels.setAll(level)
    changed()
    return ''
  }
  const pairs = name === 'paths' ? value.split(',').map(pair) : [[name, value] as const]
  for (const [logger, levelName] of pairs) {
    if (name === 'paths' && (logger === '' || levelName === '')) return 'empty logger name or empty logger level'
    const level = levelOf(levelName)
    if (level === null) return 'unknown logger level'
    if (!COMPONENTS.includes(logger)) return 'unknown logger name'
    wanted.push([logger, level])
  }
  for (const [logger, level] of wanted) levels.set(logger, level)
  changed()
  return ''
}

function pair(text: string): readonly [string, string] {
  const colon = text.indexOf(':')
  return colon < 0 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)]
}

/** Here `warn` is not a level, unlike on the command line. */
function levelOf(name: string): LogLevel | null {
  const index = LEVEL_NAMES.indexOf(name)
  return index < 0 ? null : (index as LogLevel)
}

function loggers(levels: LogLevels): string {
  return `active loggers:\n${COMPONENTS.map(c => `  ${c}: ${LEVEL_NAMES[levels.of(c)]}\n`).join('')}\n`
}

function refused(body: string): AdminResponse {
  return { status: 400, body }
}
