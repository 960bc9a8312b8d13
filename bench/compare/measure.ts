import { writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { type BenchCase, type Plan, REQUESTS_PER_CPU } from '../load/case.ts'
import { argumentsFor, latencySample } from '../load/cases/latency.ts'
import { HTTP_PLAN } from '../load/checks/plan.ts'
import type { Configuration } from '../load/configurations/configuration.ts'
import { wrkCommand, wrkLoad } from '../load/drivers/wrk-load.ts'
import { allowedCpus, describeMachine } from '../load/machine.ts'
import { runOpenLoop } from '../load/open-loop/command.ts'
import { EnvoyPeer } from '../load/peers/envoy.ts'
import { schedulingTools, versionLine } from '../load/peers/find.ts'
import { choosePinning } from '../load/pinning.ts'
import { Ports } from '../load/ports.ts'
import type { BenchReport } from '../load/result.ts'
import { runAll, type Watcher } from '../load/runner/run-all.ts'
import { Session } from '../load/runner/session.ts'
import type { Sites } from '../load/sites.ts'
import type { Target } from '../load/target.ts'
import { checkRequests } from '../load/user/case.ts'
import type { UserRequest } from '../load/user/requests.ts'
import { wrkScript } from '../load/user/wrk-script.ts'
import type { JsonObject } from './json.ts'
import type { CompareOptions } from './options.ts'
import type { Comparison } from './result.ts'
import { type RewrittenListener, rewrite } from './rewrite.ts'
import type { TraceEntry } from './trace.ts'

const CONNECTIONS = 32

/** What there is to measure: the requests of the trace that go to one listener. */
export interface Work {
  readonly config: JsonObject
  readonly entries: readonly TraceEntry[]
  readonly place: RewrittenListener
}

/** Programs without which nothing is measured, and how they are got. */
const NEEDED = [
  ['nginx', '-v', 'apt-get install nginx'],
  ['wrk', '-v', 'apt-get install wrk'],
] as const

/**
 * A report of the bench with one case: the trace on both proxies, in rounds. Its clusters lead to the bench's own upstream,
 * as a recorder would be measured otherwise. The report has no case where nothing can be measured, and says why.
 */
export async function measure(
  comparison: Comparison,
  options: CompareOptions,
  binaries: { readonly envoy: string; readonly remora: string },
  work: Work | null,
  say: (text: string) => void,
): Promise<BenchReport> {
  const started = Date.now()
  const versions: Record<string, string> = { node: process.version }
  const missing: { program: string; how: string }[] = []
  for (const [program, flag, how] of NEEDED) {
    const line = versionLine([program, flag])
    if (line === null) missing.push({ program, how })
    else versions[program] = line
  }
  const { envoy, remora } = comparison.sides
  const peers = [
    new EnvoyPeer('envoy', titleOf('Envoy', envoy.version), envoy.version, binaries.envoy),
    new EnvoyPeer('remora', titleOf('Remora', remora.version), remora.version, binaries.remora),
  ]
  const pinning = choosePinning(allowedCpus(), schedulingTools())
  const report: BenchReport = {
    version: 1,
    startedAt: comparison.startedAt,
    durationSeconds: 0,
    profile: 'custom',
    machine: describeMachine(pinning),
    versions,
    commandLine: comparison.commandLine,
    peers: peers.map(({ id, title, version }) => {
      const side = id === 'envoy' ? envoy : remora
      return { id, title, version, command: [side.command], configurations: { comparison: side.configuration } }
    }),
    missing,
    cases: [],
  }
  const measurable = work?.entries.some(entry => entry.method !== 'HEAD')
  if (work === null || !options.measures || !measurable || missing.length > 0) {
    if (missing.length > 0) say(`not measured: no ${missing.map(one => `${one.program} (${one.how})`).join(', no ')}`)
    return report
  }
  const session = new Session(pinning, options.firstPort + 300)
  const close = (): void => {
    void session.close().finally(() => process.exit(130))
  }
  process.once('SIGINT', close).once('SIGTERM', close)
  try {
    await session.open(false)
    const spare = await sparePorts(work, options)
    // No ratio comes of fewer than three rounds: such a run only shows that everything works.
    const profile = options.rounds < 3 ? 'smoke' : 'standard'
    const wish = { profile, rounds: options.rounds, seconds: options.seconds, peers: [] } as const
    const cases = await runAll(traceCases(work, options, spare), peers, wish, session, quietly(say))
    return {
      ...report,
      machine: describeMachine(pinning),
      durationSeconds: Math.round((Date.now() - started) / 1000),
      cases,
      peers: report.peers.map(peer => ({
        ...peer,
        command: session.commands.get(peer.id) ?? peer.command,
        configurations: { ...peer.configurations, ...session.configurations.get(peer.id) },
      })),
    }
  } finally {
    process.off('SIGINT', close).off('SIGTERM', close)
    await session.close()
  }
}

/** What a request costs, and how long it takes at half of what the real Envoy can do. */
function traceCases(work: Work, options: CompareOptions, spare: number[]): BenchCase[] {
  // wrk waits for the body that an answer to HEAD announces and does not have.
  const requests = work.entries.filter(entry => entry.method !== 'HEAD').map(toUserRequest)
  const { tls } = work.place
  const reference = new Map<string, number>()
  const configuration: Configuration = {
    id: 'measured',
    title: options.config,
    workers: 1,
    tls: false,
    equivalent: null,
    // Requests of a trace have any status: what counts is that each has its line in the access log.
    checks: { ...HTTP_PLAN, kind: 'ready' },
    envoy: sites => configFor(work, options, sites, spare),
    ownChecks: target => checkRequests(target, requests, reference, tls),
  }
  const title = `${basename(options.trace)} on ${basename(options.config)}`
  const rest = {
    series: null,
    axis: null,
    configuration,
    goal: null,
    from: 'smoke',
    headline: false,
    fresh: false,
    needs: ['wrk'],
  } as const
  const saturate = (target: Target, plan: Plan) => {
    const script = join(plan.folder, 'requests.lua')
    writeFileSync(script, wrkScript(requests))
    return wrkLoad({ connections: CONNECTIONS, script, tls, anyStatus: true }, target, plan)
  }
  let rate = 1
  const cost: BenchCase = {
    ...rest,
    id: 'trace',
    title,
    group: 'user',
    metric: REQUESTS_PER_CPU,
    value: 'operations-per-cpu-second',
    commands: plan => [
      wrkCommand({ connections: CONNECTIONS, script: 'REQUESTS.lua', tls }, '{port}', plan.seconds).join(' '),
    ],
    measure: saturate,
  }
  const latency: BenchCase = {
    ...rest,
    id: 'trace-latency',
    title: `${title}, latency at half of Envoy's saturation`,
    group: 'latency',
    metric: { name: '99th percentile of latency', unit: 'µs', higherIsBetter: false },
    value: 'own',
    commands: plan => [
      `open-loop ${argumentsFor(plan, rate).join(' ')} --requests REQUESTS.json --url http://127.0.0.1:{port}/`,
    ],
    prepare: async (targets, plan) => {
      const envoy = targets.find(target => target.peer.id === 'envoy') ?? targets[0]!
      const sample = await saturate(envoy, plan)
      rate = Math.max(1, Math.round(sample.count / sample.seconds / 2))
      plan.notes.push(`Envoy saturates at ${rate * 2} requests/s; ${rate} were offered`)
    },
    measure: async (target, plan) => {
      const file = join(plan.folder, 'requests.json')
      writeFileSync(file, JSON.stringify(requests))
      const url = `http${tls ? 's' : ''}://127.0.0.1:${target.sites.listen}/`
      const prefix = plan.pinning.load === null ? [] : ['taskset', '-c', plan.pinning.load]
      const argv = [...argumentsFor(plan, rate), '--url', url, '--requests', file]
      return latencySample(await runOpenLoop(argv, prefix), true)
    },
  }
  return [cost, latency]
}

function configFor(work: Work, options: CompareOptions, sites: Sites, spare: number[]): string {
  const own = `listener ${work.place.name}`
  return rewrite(work.config, {
    port: purpose => (purpose === 'admin' ? sites.admin : purpose === own ? sites.listen : spare.pop()!),
    endpoint: (_, protocol) => (options.realUpstreams ? null : sites.upstreams[protocol]),
    log: sites.log,
    folder: sites.folder,
  }).text
}

/** For the listeners that get no load, of both proxies. */
async function sparePorts(work: Work, options: CompareOptions): Promise<number[]> {
  let wanted = 0
  rewrite(work.config, { port: () => ++wanted, endpoint: () => null, log: '', folder: '' })
  const free = new Ports(options.firstPort + 400)
  const ports: number[] = []
  for (let i = 0; i < wanted * 2; i++) ports.push(await free.take())
  return ports
}

function toUserRequest(entry: TraceEntry): UserRequest {
  return {
    method: entry.method,
    host: entry.url.host,
    path: entry.url.pathname + entry.url.search,
    headers: Object.fromEntries(entry.headers),
    body: entry.body.toString('utf8'),
  }
}

function titleOf(name: string, version: string): string {
  const number = /version: [0-9a-f]+\/([^/]+)\//.exec(version)?.[1]
  return name === 'Remora' || number === undefined ? name : `${name} ${number}`
}

function quietly(say: (text: string) => void): Watcher {
  return { begin: () => {}, phase: () => {}, measured: () => {}, finished: () => {}, trouble: say }
}
