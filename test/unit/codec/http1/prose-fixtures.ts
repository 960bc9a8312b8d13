import { readFileSync } from 'node:fs'

/** One case of test/fixtures/http1: `events` is what the codec must report. */
export interface Case {
  readonly name: string
  readonly input: Buffer
  readonly method: string
  readonly eof: boolean
  readonly events: string
}

export function readCases(file: string): Case[] {
  const text = readFileSync(new URL(`../../../fixtures/http1/${file}`, import.meta.url), 'latin1')
  const cases: Case[] = []
  for (const section of text.split(/^## /m).slice(1)) {
    const name = section.slice(0, section.indexOf('\n'))
    const input = /```input([^\n]*)\n([\s\S]*?)\n```/.exec(section)!
    const events = /```events\n([\s\S]*?)\n```/.exec(section)!
    const bytes = input[2]!
      .replaceAll('\n', '')
      .replace(/\\r|\\n|\\t|\\x([0-9a-f]{2})/g, (written, hex?: string) =>
        hex !== undefined
          ? String.fromCharCode(Number.parseInt(hex, 16))
          : written === '\\r'
            ? '\r'
            : written === '\\n'
              ? '\n'
              : '\t',
      )
    // `\n` written out in the fixture is the LF; line breaks of the block were dropped above.
    cases.push({
      name,
      input: Buffer.from(bytes, 'latin1'),
      method: /request=(\w+)/.exec(input[1]!)?.[1] ?? 'GET',
      eof: input[1]!.includes('eof'),
      events: events[1]!
        .split('\n')
        .map(line => line.trimEnd())
        .join('\n'),
    })
  }
  return cases
}
