import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../harness/until.ts'
import type { Pod } from './pod.ts'

export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** Samples of one metric at the agent's merged endpoint whose labels include these. */
export async function samples(
  pod: Pod,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<Sample[]> {
  const { body } = await pod.agent('/stats/prometheus')
  return body
    .split('\n')
    .filter(line => line.startsWith(`${name}{`))
    .map(line => ({
      labels: Object.fromEntries([...line.matchAll(/([a-z_]+)="([^"]*)"/g)].map(match => [match[1]!, match[2]!])),
      value: Number(line.slice(line.lastIndexOf(' ') + 1)),
    }))
    .filter(sample => Object.entries(labels).every(([key, value]) => sample.labels[key] === value))
}

/** The one sample with these labels, once it has the value. */
export async function counted(
  pod: Pod,
  name: string,
  labels: Readonly<Record<string, string>>,
  value = 1,
): Promise<Sample['labels']> {
  let found: Sample[] = []
  await until(async () => {
    found = await samples(pod, name, labels)
    return found.length === 1 && found[0]!.value === value
  }).catch(async () => {
    const all = (await samples(pod, name)).map(sample => JSON.stringify(sample)).join('\n')
    throw new Error(`${pod.name} has no ${name} ${JSON.stringify(labels)} of ${value}, but\n${all}`)
  })
  return found[0]!.labels
}

/** The access log line that matches, in the form of `recordedLine`. */
export async function accessLine(pod: Pod, pattern: RegExp): Promise<string> {
  const line = await pod.says(new RegExp(`^\\[\\d{4}-.*${pattern.source}`))
  return comparable(line)
}

/**
 * The line that the real proxy wrote in that pod of the recorded cluster for the same request, without what differs from run to run:
 * times, generated ids, ports of clients, and how long an application's answer was.
 */
export function recordedLine(pod: 'sleep' | 'httpbin' | 'gw', pattern: RegExp): string {
  const text = readFileSync(join(import.meta.dirname, `../fixtures/istio/access-logs/${pod}.log`), 'utf8')
  const line = text.split('\n').find(candidate => pattern.test(candidate))
  if (line === undefined) throw new Error(`no line of ${pod} was recorded with ${pattern}`)
  return comparable(line)
}

function comparable(line: string): string {
  return (
    line
      .replace(/^\[[^\]]*\]/, '[time]')
      .replace(/(" 200 \S+ via_upstream \S+ "[^"]*" \d+) \d+ /, '$1 size ')
      .replace(/(" \d+ \S+ \S+ \S+ "[^"]*" \d+ \S+) \d+ (\d+|-) "/, (_, head, service) =>
        service === '-' ? `${head} ms - "` : `${head} ms ms "`,
      )
      // The digit that tells a random id says why the request is traced: a and b. Whether the dice say so (9) or not (4) is chance.
      .replace(/"[0-9a-f]{8}-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"/, (_, digit: string) =>
        digit === '9' ? '"id 4"' : `"id ${digit}"`,
      )
      .replaceAll(/(\d+\.\d+\.\d+\.\d+):(3[2-9]\d{3}|[456]\d{4})(?=[ "])/g, '$1:port')
  )
}
