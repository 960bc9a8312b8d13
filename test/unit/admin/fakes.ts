import type { AdminHandler, AdminRequest, AdminResponse } from '../../../src/admin/handler.ts'
import { parseQuery } from '../../../src/admin/query.ts'

/** Asks one of `handlers`; `target` is a path with its query. */
export async function ask(
  handlers: AdminHandler | readonly AdminHandler[],
  target: string,
  options: { readonly body?: string; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<{ status: number; body: string; contentType: string; response: AdminResponse }> {
  const mark = target.indexOf('?')
  const path = mark < 0 ? target : target.slice(0, mark)
  const handler = [handlers].flat().find(h => h.path === path)
  if (handler === undefined) throw new Error(`no handler for ${path}`)
  const request: AdminRequest = {
    method: handler.mutates ? 'POST' : 'GET',
    target,
    path,
    query: parseQuery(mark < 0 ? '' : target.slice(mark + 1)),
    body: options.body ?? '',
    header: name => options.headers?.[name],
  }
  const response = await handler.handle(request)
  const body = typeof response.body === 'string' ? response.body : Buffer.from(response.body).toString('latin1')
  return { status: response.status, body, contentType: response.contentType ?? 'text/plain; charset=UTF-8', response }
}
