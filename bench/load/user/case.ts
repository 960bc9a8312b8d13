import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type BenchCase, type Plan, REQUESTS_PER_CPU } from '../case.ts'
import { ask, type ClientFiles, stats } from '../checks/ask.ts'
import { HTTP_PLAN } from '../checks/plan.ts'
import type { Configuration } from '../configurations/configuration.ts'
import { wrkCommand, wrkLoad } from '../drivers/wrk-load.ts'
import { type BenchOptions, OptionError } from '../options.ts'
import type { Check } from '../result.ts'
import type { Target } from '../target.ts'
import { portsOf } from './bootstrap.ts'
import { readHar, readUrlList, type UserRequest } from './requests.ts'
import { wrkScript } from './wrk-script.ts'

/** Requests that are tried one by one before the load. */
const MOST_CHECKED = 50
const CONNECTIONS = 32
const PLAIN = { http2: false, tls: false, client: null } as const

/** The user's own bootstrap and requests. Throws OptionError when a file cannot be read or says nothing useful. */
export function userCase(options: BenchOptions): BenchCase {
  const text = read(options.config)
  const ports = portsOf(text, options.config)
  const requests = [
    ...readUrlList(options.urls.join('\n')),
    ...(options.urlFile === '' ? [] : readUrlList(read(options.urlFile))),
    ...(options.har === '' ? [] : readHar(read(options.har), options.har)),
  ]
  if (requests.length === 0) throw new OptionError('no requests: --url, --urls or --har must bring some')
  const target = options.target ?? ports.listen
  if (target === null) throw new OptionError(`${options.config}: no listener with a port; say --target PORT`)
  if (ports.admin === null)
    throw new OptionError(`${options.config}: no admin port; without it nobody knows when the proxy is ready`)
  return {
    id: 'user',
    title: `${options.config}, ${requests.length} request${requests.length === 1 ? '' : 's'} in turn`,
    group: 'user',
    series: null,
    axis: null,
    configuration: configurationOf(text, options.config, target, ports.admin, requests),
    metric: REQUESTS_PER_CPU,
    value: 'operations-per-cpu-second',
    goal: null,
    from: 'smoke',
    headline: false,
    fresh: true,
    needs: ['wrk'],
    commands: plan => [
      wrkCommand({ connections: CONNECTIONS, script: 'REQUESTS.lua' }, '{port}', plan.seconds).join(' '),
    ],
    measure: async (proxy, plan) => {
      const load = { connections: CONNECTIONS, script: scriptFile(plan, requests), anyStatus: true }
      // Every round has a new process here, because the ports stand in the file: it is warmed up first.
      if (plan.profile !== 'smoke') await wrkLoad(load, proxy, { ...plan, seconds: 2 })
      return { ...(await wrkLoad(load, proxy, plan)) }
    },
  }
}

function configurationOf(
  text: string,
  name: string,
  listen: number,
  admin: number,
  requests: readonly UserRequest[],
): Configuration {
  const reference = new Map<string, number>()
  return {
    id: 'user',
    title: name,
    workers: 1,
    tls: false,
    equivalent: null,
    checks: HTTP_PLAN,
    ports: { listen, admin },
    envoy: () => text,
    ownChecks: target => checkRequests(target, requests, reference),
  }
}

/** Every request must be answered, and by the second proxy with the status it had from the first. */
export async function checkRequests(
  target: Target,
  requests: readonly UserRequest[],
  reference: Map<string, number>,
  how: { readonly http2: boolean; readonly tls: boolean; readonly client: ClientFiles | null } = PLAIN,
): Promise<Check[]> {
  const checks: Check[] = []
  const total = async (): Promise<number> => {
    let sum = 0
    for (const [name, value] of await stats(target.sites.admin))
      if (/^http\..*\.downstream_rq_total$/.test(name) && !name.startsWith('http.admin.')) sum += value
    return sum
  }
  const before = await total()
  const tried = requests.slice(0, MOST_CHECKED)
  for (const request of tried) {
    const key = `${request.method} ${request.host}${request.path}`
    const answer = await ask({
      port: target.sites.listen,
      path: request.path,
      host: request.host,
      method: request.method,
      headers: request.headers,
      body: Buffer.from(request.body),
      protocol: how.http2 ? 'http2' : 'http1',
      tls: how.tls,
      client: how.client,
    })
    const known = reference.get(key)
    if (known === undefined) reference.set(key, answer.status)
    const same = answer.status !== 0 && (known === undefined || known === answer.status)
    const wanted = known === undefined ? '' : `, ${known} from the first proxy`
    checks.push({
      name: `answers ${key}`,
      passed: same,
      detail: `status ${answer.status}${wanted} ${answer.error}`.trim(),
    })
  }
  const grown = (await total()) - before
  checks.push({ name: 'stats moved', passed: grown >= tried.length, detail: `downstream_rq_total grew by ${grown}` })
  return checks
}

function scriptFile(plan: Plan, requests: readonly UserRequest[]): string {
  const file = join(plan.folder, 'requests.lua')
  writeFileSync(file, wrkScript(requests))
  return file
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new OptionError(`${file}: ${(error as Error).message}`)
  }
}
