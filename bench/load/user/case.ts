import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type BenchCase, type Plan, REQUESTS_PER_CPU } from '../case.ts'
import { type Answer, ask, type ClientFiles, stats } from '../checks/ask.ts'
import { HTTP_PLAN } from '../checks/plan.ts'
import type { Configuration } from '../configurations/configuration.ts'
import { wrkCommand, wrkLoad } from '../drivers/wrk-load.ts'
import { type BenchOptions, OptionError } from '../options.ts'
import type { Check } from '../result.ts'
import type { Target } from '../target.ts'
import { portsOf } from './bootstrap.ts'
import { ExpectedAnswers, type Said } from './expected.ts'
import { readHar, readUrlList, type UserRequest } from './requests.ts'
import { wrkScript } from './wrk-script.ts'

/** Requests that a further process of the same proxy is asked, and those that have a line of their own in the report. */
const FEW = 50
const CONNECTIONS = 32
const PLAIN = { http2: false, tls: false, serverName: '', client: null } as const

/** How the requests of a load are sent. */
export interface Manner {
  readonly http2: boolean
  readonly tls: boolean
  /** SNI; '' for none. */
  readonly serverName: string
  readonly client: ClientFiles | null
}

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
  const expected = new ExpectedAnswers(requests.length)
  return {
    id: 'user',
    title: `${options.config}, ${requests.length} request${requests.length === 1 ? '' : 's'} in turn`,
    group: 'user',
    series: null,
    axis: null,
    configuration: configurationOf(text, options.config, target, ports.admin, requests, expected),
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
      const load = { connections: CONNECTIONS, script: scriptFile(plan, requests), expected }
      // Every round has a new process here, because the ports stand in the file: it is warmed up first.
      if (plan.profile !== 'smoke') await wrkLoad(load, proxy, { ...plan, seconds: 2 })
      return wrkLoad(load, proxy, plan)
    },
  }
}

function configurationOf(
  text: string,
  name: string,
  listen: number,
  admin: number,
  requests: readonly UserRequest[],
  expected: ExpectedAnswers,
): Configuration {
  return {
    id: 'user',
    title: name,
    workers: 1,
    tls: false,
    equivalent: null,
    checks: HTTP_PLAN,
    ports: { listen, admin },
    envoy: () => text,
    ownChecks: target => checkRequests(target, requests, expected),
  }
}

/**
 * Every request, asked alone, must be answered, and by the second proxy with the status it had from the first. `expected` has
 * all these afterwards.
 */
export async function checkRequests(
  target: Target,
  requests: readonly UserRequest[],
  expected: ExpectedAnswers,
  how: Manner = PLAIN,
): Promise<Check[]> {
  const checks: Check[] = []
  let further = 0
  const total = async (): Promise<number> => {
    let sum = 0
    for (const [name, value] of await stats(target.sites.admin))
      if (/^http\..*\.downstream_rq_total$/.test(name) && !name.startsWith('http.admin.')) sum += value
    return sum
  }
  const before = await total()
  const tried = expected.asked.has(target.peer.id) ? requests.slice(0, FEW) : requests
  expected.asked.add(target.peer.id)
  for (const [place, request] of tried.entries()) {
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
      serverName: how.serverName,
      client: how.client,
    })
    const said = saidBy(answer)
    const known = expected.learn(place, said)
    const passed = said.status !== 0 && known.status === said.status && known.grpcFailed === said.grpcFailed
    const wanted = known === said ? '' : `, ${sayingOf(known)} from the first proxy`
    if (place < FEW || !passed)
      checks.push({
        name: `answers ${key}`,
        passed,
        detail: `status ${sayingOf(said)}${wanted} ${answer.error}`.trim(),
      })
    else further++
  }
  if (further > 0) checks.push({ name: 'answers the other requests', passed: true, detail: `${further} more` })
  const grown = (await total()) - before
  checks.push({ name: 'stats moved', passed: grown >= tried.length, detail: `downstream_rq_total grew by ${grown}` })
  return checks
}

function saidBy({ status, trailers, headers, body }: Answer): Said {
  // Where there is nothing but a head, it has the status of gRPC.
  const grpc = trailers['grpc-status'] ?? (body.length === 0 ? headers['grpc-status'] : undefined)
  return { status, grpcFailed: grpc !== undefined && grpc !== '0' }
}

function sayingOf({ status, grpcFailed }: Said): string {
  return `${status}${grpcFailed ? ' with a gRPC status other than 0' : ''}`
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
