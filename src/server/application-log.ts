import { ConfigError } from '../base/errors.ts'
import { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'

type Config = envoy.config.bootstrap.v3.Bootstrap_ApplicationLogConfig

/**
 * The spdlog pattern that Bootstrap.application_log_config asks for; null when it leaves the format alone.
 * `given`: --log-format is there. Throws ConfigError in the real proxy's words.
 */
export function applicationLogPattern(config: Config | undefined, given: boolean): string | null {
  const format = config?.log_format
  if (format === undefined) return null
  const at = FieldPath.root().field('application_log_config').field('log_format')
  const refuse = (text: string, advice: string): never => {
    throw new ConfigError('CONFIG_INVALID', at, text, { advice })
  }
  if (given) {
    refuse(
      'Only one of ApplicationLogConfig.log_format or CLI option --log-format can be specified.',
      'remove one of the two',
    )
  }
  if (format.json_format === undefined) return format.text_format ?? null
  const pattern = JSON.stringify(format.json_format)
  for (const flag of ['%v', '%_']) {
    if (pattern.includes(flag)) {
      const text = `setJsonLogFormat error: INVALID_ARGUMENT: Usage of ${flag} is unavailable for JSON log formats`
      refuse(text, 'use %j, the message escaped for JSON')
    }
  }
  return pattern
}
