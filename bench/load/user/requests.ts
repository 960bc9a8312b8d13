import { OptionError } from '../options.ts'

export interface UserRequest {
  readonly method: string
  readonly host: string
  /** With its query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** A URL per line, with a method before it if it is not GET; empty lines and those that begin with # are left out. */
export function readUrlList(text: string): UserRequest[] {
  const requests: UserRequest[] = []
  for (const line of text.split('\n')) {
    const trimmed = line.trim()
    if (trimmed === '' || trimmed.startsWith('#')) continue
    const words = trimmed.split(/\s+/)
    const [method, url] = words.length > 1 ? [words[0]!, words[1]!] : ['GET', words[0]!]
    requests.push({ method, ...place(url), headers: {}, body: '' })
  }
  return requests
}

/** Requests of an HTTP archive (HAR 1.2, `log.entries[].request`). */
export function readHar(text: string, name: string): UserRequest[] {
  let entries: unknown
  try {
    entries = (JSON.parse(text) as { log?: { entries?: unknown } }).log?.entries
  } catch (error) {
    throw new OptionError(`${name}: ${(error as Error).message}`)
  }
  if (!Array.isArray(entries)) throw new OptionError(`${name}: no log.entries: this is no HAR`)
  return (entries as HarEntry[]).map(({ request }) => {
    const headers: Record<string, string> = {}
    // A connection's own headers are the load generator's; names with a colon are HTTP/2's.
    for (const { name: header, value } of request.headers ?? [])
      if (!/^(:.*|host|connection|content-length|transfer-encoding|keep-alive|upgrade|expect|te)$/i.test(header))
        headers[header] = value
    return { method: request.method, ...place(request.url), headers, body: request.postData?.text ?? '' }
  })
}

interface HarEntry {
  readonly request: {
    readonly method: string
    readonly url: string
    readonly headers?: readonly { readonly name: string; readonly value: string }[]
    readonly postData?: { readonly text?: string }
  }
}

function place(url: string): { readonly host: string; readonly path: string } {
  try {
    const { host, pathname, search } = new URL(url)
    return { host, path: pathname + search }
  } catch {
    throw new OptionError(`${url} is no URL`)
  }
}
