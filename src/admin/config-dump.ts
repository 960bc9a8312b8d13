import { compileRegex, type Regex, regexError } from '../base/regex.ts'
import { messageType } from '../config/descriptors.ts'
import { printJson, toJson } from '../config/json-writer.ts'
import { type DumpFacts, type DumpSection, dumpSections } from './config-dump-sections.ts'
import { parseMask, trimMessage, trimResource } from './field-mask.ts'
import { type AdminHandler, type AdminRequest, type AdminResponse, flag, JSON_TYPE, text } from './handler.ts'

/** envoy.admin.v3.ConfigDump, with private keys and other sensitive fields as `[redacted]`. */
export function configDumpHandler(facts: DumpFacts): AdminHandler {
  return {
    path: '/config_dump',
    help: 'dump current Envoy configs',
    parameters: [
      text('resource', 'The resource to dump'),
      text(
        'mask',
        'The mask to apply. When both resource and mask are specified, the mask is applied to every element in the desired ' +
          'repeated field so that only a subset of fields are returned. The mask is parsed as a Protobuf::FieldMask',
      ),
      text(
        'name_regex',
        'Dump only the currently loaded configurations whose names match the specified regex. Can be used with both resource ' +
          'and mask query parameters.',
      ),
      flag(
        'include_eds',
        'Dump currently loaded configuration including EDS. See the response definition for more information',
      ),
    ],
    mutates: false,
    handle: request => dump(facts, request),
  }
}

function dump(facts: DumpFacts, { query }: AdminRequest): AdminResponse {
  const resource = query.get('resource') ?? ''
  const mask = query.get('mask') ?? ''
  const pattern = query.get('name_regex') ?? ''
  let regex: Regex | null = null
  if (pattern !== '') {
    const error = regexError(pattern)
    if (error !== null) {
      return failed(400, `INVALID_ARGUMENT: Error while parsing name_regex from ${pattern}: ${error}`)
    }
    regex = compileRegex(pattern)
  }
  // The whole name must match, unlike the filter of /stats.
  const matches = (name: string): boolean => regex === null || regex.fullMatch(name)
  const sections = dumpSections(facts, matches, query.has('include_eds'))
  return resource === '' ? wholeDump(sections, mask) : resourceDump(sections, resource, mask)
}

function wholeDump(sections: readonly DumpSection[], mask: string): AdminResponse {
  const paths = parseMask(mask)
  const configs: object[] = []
  for (const { type, message } of sections) {
    // A mask is meant for one of the sections; the others do not know its fields and drop out.
    const trimmed = mask === '' ? message : trimMessage(messageType(type), message, paths)
    if (trimmed !== null) configs.push(packed(type, trimmed))
  }
  if (configs.length === 0 && mask !== '') {
    return failed(400, `FieldMask ${mask} could not be successfully applied to any configs.`)
  }
  return found(configs)
}

/** The elements of one repeated field, each on its own. */
function resourceDump(sections: readonly DumpSection[], resource: string, mask: string): AdminResponse {
  for (const { type, message } of sections) {
    const field = messageType(type).fields.find(f => f.name === resource)
    if (field === undefined) continue
    if (!field.repeated) {
      return failed(400, `${resource} is not a repeated field. Use ?mask=${resource} to get only this field`)
    }
    const configs: object[] = []
    for (const element of (message[resource] ?? []) as Record<string, unknown>[]) {
      const trimmed = mask === '' ? element : trimResource(field.message, element, parseMask(mask))
      if (trimmed === null) return failed(400, `FieldMask ${maskText(parseMask(mask))} could not be successfully used.`)
      configs.push(packed(field.message.name, trimmed))
    }
    return found(configs)
  }
  return failed(404, `${resource} not found in config dump`)
}

function packed(type: string, message: Readonly<Record<string, unknown>>): object {
  return { '@type': `type.googleapis.com/${type}`, ...toJson(type, message, { redact: true }) }
}

function found(configs: readonly object[]): AdminResponse {
  const body = configs.length === 0 ? {} : { configs }
  return { status: 200, contentType: JSON_TYPE, body: `${printJson(body)}\n` }
}

/** Errors of this endpoint carry the nosniff header twice in Envoy, and no charset. */
function failed(status: number, body: string): AdminResponse {
  return { status, contentType: 'text/plain', headers: [['x-content-type-options', 'nosniff']], body }
}

/** Debug text of a FieldMask, as Envoy prints it. */
function maskText(paths: readonly string[]): string {
  return `goo.gle/debugonly \n${paths.map(path => `paths: ${JSON.stringify(path)}\n`).join('')}`
}
