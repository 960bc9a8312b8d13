import { randomUUID } from 'node:crypto'
import { accessLogLines } from './access-log.ts'
import type { ClientApplication } from './application.ts'
import type { ClientCall, ClientResult } from './apps/client.ts'
import type { Echo } from './apps/echo-service.ts'
import type { Topology } from './topology.ts'

export interface TourOptions {
  readonly topology: Topology
  readonly client: ClientApplication
  /** Access log of the client's sidecar. */
  readonly accessLog: string
  readonly print: (line: string) => void
}

interface Step {
  readonly title: string
  readonly calls: (topology: Topology) => Partial<ClientCall>[]
  /** undefined when all is as it should be, else what is not. `log` holds one line per call. */
  readonly verdict: (results: readonly ClientResult[], log: readonly string[]) => string | undefined
  readonly summary: (results: readonly ClientResult[]) => string
}

const SPLIT = 60

const STEPS: readonly Step[] = [
  {
    title: 'HTTP/1.1',
    calls: () => [{ kind: 'http1', path: '/hello' }],
    verdict: results => expect(results, 200),
    summary: first,
  },
  {
    title: 'HTTP/2 to the sidecar',
    calls: () => [{ kind: 'http2', path: '/hello' }],
    verdict: (results, log) => expect(results, 200) ?? logged(log, 'HTTP/2'),
    summary: first,
  },
  {
    title: 'gRPC, unary',
    calls: () => [{ kind: 'grpc', path: 'Unary', messages: [{ text: 'hello' }] }],
    verdict: results => expect(results, 0) ?? texts(results, ['hello']),
    summary: first,
  },
  {
    title: 'gRPC, streams: server, client, both ways',
    calls: () => {
      const messages: Echo[] = [{ text: 'a' }, { text: 'b' }, { text: 'c' }]
      return [
        { kind: 'grpc', path: 'ServerStream', messages: [{ text: 'n', count: 3 }] },
        { kind: 'grpc', path: 'ClientStream', messages },
        { kind: 'grpc', path: 'Bidi', messages },
      ]
    },
    verdict: results =>
      expect(results, 0) ??
      texts(results.slice(0, 1), ['n 1', 'n 2', 'n 3']) ??
      texts(results.slice(1, 2), ['a, b, c']) ??
      texts(results.slice(2), ['a', 'b', 'c']),
    summary: results => results.map(first1).join(' · '),
  },
  {
    title: `weighted split: ${SPLIT} requests, 75 % to v1, 25 % to v2`,
    calls: () => Array.from({ length: SPLIT }, () => ({ kind: 'http1', path: '/split' })),
    verdict: results => {
      const v2 = versions(results).get('v2') ?? 0
      return expect(results, 200) ?? (v2 > 0 && v2 < SPLIT / 2 ? undefined : `${v2} of ${SPLIT} went to v2`)
    },
    summary: results => [...versions(results)].map(([version, count]) => `${version} ×${count}`).join(', '),
  },
  {
    title: 'routing by header: x-version: v2',
    calls: () => [{ kind: 'http1', path: '/', headers: { 'x-version': 'v2' } }],
    verdict: results => expect(results, 200) ?? (versions(results).has('v2') ? undefined : 'not answered by v2'),
    summary: first,
  },
  {
    title: 'retry: the first attempt gets 503, the second succeeds',
    calls: () => [{ kind: 'http1', path: '/flaky' }],
    verdict: (results, log) => expect(results, 200) ?? logged(log, 'attempts=2'),
    summary: first,
  },
  {
    title: 'per-try timeout: the first attempt takes 2 s, is given up after 250 ms, and tried again',
    calls: () => [{ kind: 'http1', path: '/slow-once' }],
    verdict: (results, log) => expect(results, 200) ?? logged(log, 'attempts=2'),
    summary: first,
  },
  {
    title: 'route timeout: 300 ms, the application takes 2 s',
    calls: () => [{ kind: 'http1', path: '/slow' }],
    verdict: (results, log) => expect(results, 504) ?? logged(log, ' UT '),
    summary: first,
  },
  {
    title: 'injected fault: 418, the application never sees it',
    calls: () => [{ kind: 'http1', path: '/fault' }],
    verdict: (results, log) => expect(results, 418) ?? logged(log, ' FI '),
    summary: first,
  },
]

/** Real requests over real sockets, one kind after the other. Resolves to the titles of the steps that went wrong. */
export async function takeTour(options: TourOptions): Promise<string[]> {
  const failed: string[] = []
  for (const step of STEPS) {
    const calls = step.calls(options.topology).map(call => complete(options.topology, call))
    const results = await Promise.all(calls.map(call => options.client.call(call)))
    const ids = calls.map(call => call.requestId)
    const log = await accessLogLines(options.accessLog, ids)
    const wrong = step.verdict(results, log)
    if (wrong !== undefined) failed.push(step.title)
    options.print(`\n${wrong === undefined ? '✓' : '✗'} ${step.title}`)
    options.print(`    ${step.summary(results)}`)
    if (wrong !== undefined) options.print(`    expected otherwise: ${wrong}`)
    const shown = log.slice(0, 3)
    for (const line of shown) options.print(`    log ${line}`)
    if (log.length > shown.length) options.print(`    log … ${log.length - shown.length} more`)
  }
  return failed
}

export function complete(topology: Topology, call: Partial<ClientCall>): ClientCall {
  const service = call.kind === 'grpc' ? topology.grpc : topology.echo
  return { kind: 'http1', path: '/', ...service, requestId: randomUUID(), ...call }
}

function expect(results: readonly ClientResult[], status: number): string | undefined {
  const wrong = results.find(result => result.status !== status)
  return wrong === undefined ? undefined : `wanted status ${status}, got ${describe(wrong)}`
}

function texts(results: readonly ClientResult[], wanted: readonly string[]): string | undefined {
  const got = results[0]?.messages?.map(message => message.text).join('|')
  return got === wanted.join('|') ? undefined : `wanted ${wanted.join('|')}, got ${got}`
}

function logged(log: readonly string[], text: string): string | undefined {
  return log.length > 0 && log.every(line => line.includes(text)) ? undefined : `no "${text.trim()}" in the access log`
}

function versions(results: readonly ClientResult[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { body } of results) {
    const version = /"version":"([^"]+)"/.exec(body ?? '')?.[1] ?? 'no answer'
    counts.set(version, (counts.get(version) ?? 0) + 1)
  }
  return counts
}

function first(results: readonly ClientResult[]): string {
  return first1(results[0] as ClientResult)
}

function first1(result: ClientResult): string {
  return `${describe(result)} in ${result.ms} ms`
}

export function describe(result: ClientResult): string {
  if (result.messages !== undefined && result.status === 0) {
    return `OK ${result.messages.map(message => JSON.stringify(message.text)).join(' ')}`
  }
  if (result.error !== undefined) return `${result.status ?? 'no answer'}: ${result.error}`
  const version = /"version":"([^"]+)"/.exec(result.body ?? '')?.[1]
  return version === undefined
    ? `${result.status} ${JSON.stringify((result.body ?? '').slice(0, 60))}`
    : `${result.status} from ${version}`
}
