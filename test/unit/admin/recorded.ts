import { readFileSync } from 'node:fs'

/** A request and the answer of the real Envoy 1.40, as recorded in test/fixtures/envoy/admin. */
export interface Recorded {
  readonly status: number
  /** In wire order; dates as recorded. */
  readonly headers: readonly string[]
  readonly body: string
}

export function recorded(name: string): Recorded {
  const text = readFileSync(new URL(`../../fixtures/envoy/admin/${name}.txt`, import.meta.url), 'utf8')
  const end = text.indexOf('\n\n')
  const head = text
    .slice(0, end)
    .split('\n')
    .filter(line => line.startsWith('< '))
    .map(line => line.slice(2))
  return { status: Number(head[0]?.split(' ')[1]), headers: head.slice(1), body: text.slice(end + 2) }
}

/** The random marker and blanks before protobuf debug text. */
export function withoutDebugMarker(text: string): string {
  return text.replace(/goo\.gle\/debug\w+ *(\\n|\n)/g, 'goo.gle/debug$1')
}
