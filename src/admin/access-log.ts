import { parseAccessLogs } from '../config/access-log.ts'
import type { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import type { WorkerServices } from '../config/services.ts'
import { createAccessLogger } from '../telemetry/access-loggers/create.ts'
import type { AccessLogger } from '../telemetry/format-context.ts'

type Admin = envoy.config.bootstrap.v3.Admin

const FILE = 'envoy.extensions.access_loggers.file.v3.FileAccessLog'

/** Access logs of the admin section: `access_log`, and the deprecated `access_log_path`. Throws ConfigError. */
export function adminAccessLogs(
  admin: Admin,
  at: FieldPath,
  services: WorkerServices,
  warn: (text: string) => void,
): AccessLogger[] {
  const protos = [...(admin.access_log ?? [])]
  const path = admin.access_log_path ?? ''
  if (path !== '') {
    protos.push({
      name: 'envoy.access_loggers.file',
      typed_config: { type_url: `type.googleapis.com/${FILE}`, message: { path } },
    })
  }
  const warnings: string[] = []
  const configs = parseAccessLogs(protos, at.field('access_log'), warnings)
  for (const text of warnings) warn(text)
  return configs.map(config => createAccessLogger(config, services))
}
