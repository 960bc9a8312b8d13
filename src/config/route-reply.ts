import { ConfigError } from '../base/errors.ts'
import type { DirectResponseConfig, RedirectConfig, RegexRewriteConfig } from '../routing/route-config.ts'
import { readDataSource } from './data-source.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'
import { latin1, parseRegex } from './matcher.ts'
import { checkFormat, parseSubstitutionFormat } from './substitution-format.ts'

const CODES: Readonly<Record<string, number>> = {
  MOVED_PERMANENTLY: 301,
  FOUND: 302,
  SEE_OTHER: 303,
  TEMPORARY_REDIRECT: 307,
  PERMANENT_REDIRECT: 308,
}

export function parseRedirect(proto: envoy.config.route.v3.RedirectAction, at: FieldPath): RedirectConfig {
  if (proto.path_rewrite !== undefined) {
    checkFormat(
      proto.path_rewrite,
      at.field('path_rewrite'),
      [],
      'Failed to create path_rewrite formatter: INVALID_ARGUMENT: ',
    )
  }
  return {
    code: CODES[proto.response_code ?? 'MOVED_PERMANENTLY'] ?? 301,
    scheme: proto.https_redirect === true ? 'https' : latin1(proto.scheme_redirect ?? ''),
    host: latin1(proto.host_redirect ?? ''),
    port: proto.port_redirect ?? 0,
    path: latin1(proto.path_redirect ?? ''),
    prefixRewrite: latin1(proto.prefix_rewrite ?? ''),
    regexRewrite:
      proto.regex_rewrite === undefined ? null : parseRegexRewrite(proto.regex_rewrite, at.field('regex_rewrite')),
    pathFormat: proto.path_rewrite ?? '',
    stripQuery: proto.strip_query ?? false,
  }
}

export function parseDirectResponse(
  proto: envoy.config.route.v3.DirectResponseAction,
  at: FieldPath,
  maxBody: number,
): DirectResponseConfig {
  const body = proto.body === undefined ? null : readDataSource(proto.body, at.field('body'))
  if (body !== null && body.length > maxBody) {
    const source = proto.body?.filename === undefined ? 'response body' : `file ${proto.body.filename}`
    const text = `${source} size is ${body.length} bytes; maximum is ${maxBody}`
    throw new ConfigError('CONFIG_INVALID', at.field('body'), text, {
      advice: 'max_direct_response_body_size_bytes of the route configuration raises the limit',
    })
  }
  return {
    status: proto.status ?? 200,
    body,
    bodyFormat:
      proto.body_format === undefined ? null : parseSubstitutionFormat(proto.body_format, at.field('body_format')),
  }
}

export function parseRegexRewrite(
  proto: envoy.type.matcher.v3.RegexMatchAndSubstitute,
  at: FieldPath,
): RegexRewriteConfig {
  return {
    pattern: parseRegex(proto.pattern ?? {}, at.field('pattern')),
    substitution: latin1(proto.substitution ?? ''),
  }
}
