/** What the real Envoy did with these routes and requests: fixtures/routing/routes.json, made by record.py beside it. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { HeaderBlock, internName } from '../../../src/codec/header-block.ts'
import type { FormatContext } from '../../../src/telemetry/format-context.ts'
import { StreamInfo } from '../../../src/telemetry/stream-info.ts'
import { tableOf } from './configs.ts'

interface Case {
  readonly path: string
  readonly headers: readonly string[]
  readonly host: string
  readonly answer: { readonly first: string; readonly headers: readonly string[]; readonly body?: string }
}
interface Group {
  readonly name: string
  readonly config: object
  readonly cases: readonly Case[]
}

const groups: Group[] = JSON.parse(readFileSync(new URL('../../fixtures/routing/routes.json', import.meta.url), 'utf8'))

function request(c: Case): HeaderBlock {
  const h = new HeaderBlock()
  h.method = 'GET'
  h.path = c.path
  h.authority = c.host
  h.scheme = 'http'
  for (const line of c.headers) {
    const colon = line.indexOf(':')
    h.push(internName(line.slice(0, colon)), line.slice(colon + 1).trim())
  }
  // The connection manager's part.
  if (!h.has('x-forwarded-proto')) h.push('x-forwarded-proto', 'http')
  return h
}

const REASONS: Readonly<Record<number, string>> = {
  301: 'Moved Permanently',
  302: 'Found',
  308: 'Permanent Redirect',
}

for (const group of groups) {
  t.test(group.name, t => {
    const table = tableOf(group.config)
    const info = new StreamInfo()
    for (const c of group.cases) {
      const h = request(c)
      const label = `${c.path} ${c.headers.join(' | ')} ${c.host}`
      const context: FormatContext = {
        info,
        requestHeaders: h,
        responseHeaders: null,
        responseTrailers: null,
        localReplyBody: '',
      }
      const route = table.route(h, info, 0)
      if (route === null) t.equal(c.answer.first, 'HTTP/1.1 404 Not Found', label)
      else if (route.redirect !== null) {
        t.equal(c.answer.first, `HTTP/1.1 ${route.redirect.code} ${REASONS[route.redirect.code]}`, label)
        t.same(c.answer.headers, [`location: ${route.redirect.location(h, context)}`], label)
      } else if (route.directResponse !== null) {
        t.equal(c.answer.first, 'HTTP/1.1 200 OK', label)
        // Local replies to gRPC requests have no body.
        if (!h.get('content-type')?.startsWith('application/grpc')) {
          t.equal(Buffer.from(route.directResponse.body ?? []).toString(), c.answer.body, label)
        }
      } else if (route.action?.clusterName !== 'c') {
        t.equal(c.answer.first, 'HTTP/1.1 503 Service Unavailable', label)
      } else {
        route.mutateRequest(h, context)
        route.action.rewrite(h, context, 'uphost.lab')
        t.equal(`GET ${h.path} HTTP/1.1`, c.answer.first, label)
        t.same(lines(h), c.answer.headers, label)
      }
    }
    t.end()
  })
}

function lines(h: HeaderBlock): string[] {
  const out = [`host: ${h.authority}`]
  for (let i = 0; i < h.list.length; i += 2) {
    if (h.list[i] !== 'x-forwarded-proto') out.push(`${h.list[i]}: ${h.list[i + 1]}`)
  }
  return out
}
