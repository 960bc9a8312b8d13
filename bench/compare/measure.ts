import { isUtf8 } from 'node:buffer'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { type BenchCase, REQUESTS_PER_CPU } from '../load/case.ts'
import type { ClientFiles } from '../load/checks/ask.ts'
import { HTTP_PLAN } from '../load/checks/plan.ts'
import type { Configuration } from '../load/configurations/configuration.ts'
import { allowedCpus, describeMachine } from '../load/machine.ts'
import { EnvoyPeer } from '../load/peers/envoy.ts'
import { schedulingTools, versionLine } from '../load/peers/find.ts'
import { choosePinning } from '../load/pinning.ts'
import { Ports } from '../load/ports.ts'
import { Leftovers } from '../load/processes/leftovers.ts'
import type { BenchReport } from '../load/result.ts'
import { runAll, type Watcher } from '../load/runner/run-all.ts'
import { Session } from '../load/runner/session.ts'
import type { Sites } from '../load/sites.ts'
import { checkRequests } from '../load/user/case.ts'
import type { UserRequest } from '../load/user/requests.ts'
import type { Manner } from './client.ts'
import type { Configuration as Compared } from './configuration.ts'
import type { ControlPlane } from './control-plane.ts'
import { TraceLoad } from './load.ts'
import type { CompareOptions } from './options.ts'
import type { Comparison } from './result.ts'
import { rewrite } from './rewrite.ts'
import type { RewrittenListener } from './rewrite-listener.ts'
import { headersFor, type TraceEntry } from './trace.ts'

/** What there is to measure: the requests of the trace that go to one listener. */
export interface Work {
  readonly config: Compared
  readonly entries: readonly TraceEntry[]
  /** Requests of the whole trace. */
  readonly total: number
  readonly place: RewrittenListener
  readonly http2: boolean
  readonly tls: boolean
  /** SNI of them all; '' for none. */
  readonly serverName: string
  readonly identity: Manner['identity']
}

/** Programs without which nothing is measured, and how they are got. */
const NGINX = ['nginx', '-v', 'apt-get install nginx'] as const
const WRK = ['wrk', '-v', 'apt-get install wrk'] as const

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
  const folder = mkdtempSync(join(tmpdir(), 'remora-compare-load-'))
  const load = work === null ? null : loadOf(work, folder)
  const versions: Record<string, string> = { node: process.version }
  const missing: { program: string; how: string }[] = []
  for (const [program, flag, how] of load?.usesWrk === false ? [NGINX] : [NGINX, WRK]) {
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
  if (work === null || load === null || !options.measures || load.requests.length === 0 || missing.length > 0) {
    if (missing.length > 0) say(`not measured: no ${missing.map(one => `${one.program} (${one.how})`).join(', no ')}`)
    else if (options.measures && work !== null && load !== null) say(`not measured: ${scopeOf(work, load)}`)
    rmSync(folder, { recursive: true })
    return report
  }
  const session = new Session(pinning, options.firstPort + 300)
  const planes: ControlPlane[] = []
  const leftovers = new Leftovers()
  leftovers.add({ stop: () => session.close() })
  // It has the client's key.
  leftovers.addFolder(folder)
  try {
    await session.open(false)
    const spare = await Spare.take(work, options)
    planes.push(...spare.planes)
    // No ratio comes of fewer than three rounds: such a run only shows that everything works.
    const profile = options.rounds < 3 ? 'smoke' : 'standard'
    const wish = { profile, rounds: options.rounds, seconds: options.seconds, peers: [] } as const
    const cases = await runAll(traceCases(work, load, options, spare), peers, wish, session, quietly(say))
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
    for (const plane of planes) plane.close()
    rmSync(folder, { recursive: true, force: true })
    await session.close()
    await leftovers.release()
  }
}

/** What a request costs, and how long it takes at half of what the real Envoy can do. */
function traceCases(work: Work, load: TraceLoad, options: CompareOptions, spare: Spare): BenchCase[] {
  const { http2 } = load
  const configuration: Configuration = {
    id: 'measured',
    title: options.config,
    workers: 1,
    tls: false,
    equivalent: null,
    // Requests of a trace have any status: what counts is that each has its line in the access log.
    checks: { ...HTTP_PLAN, kind: 'ready' },
    envoy: sites => configFor(work, options, sites, spare),
    ownChecks: target => checkRequests(target, load.requests, load.expected, load),
  }
  const title = `${basename(options.trace)} on ${basename(options.config)}${http2 ? ', HTTP/2' : ''}`
  const rest = {
    series: null,
    axis: null,
    configuration,
    goal: null,
    from: 'smoke',
    headline: false,
    fresh: false,
    needs: load.usesWrk ? ['wrk'] : [],
  } as const
  let rate = 1
  const cost: BenchCase = {
    ...rest,
    id: 'trace',
    title,
    group: 'user',
    metric: REQUESTS_PER_CPU,
    value: 'operations-per-cpu-second',
    commands: plan => [load.saturatingCommand(plan.seconds)],
    prepare: async (_, plan) => {
      if (load.requests.length < work.total) plan.notes.push(scopeOf(work, load))
    },
    measure: (target, plan) => load.saturate(target, plan),
  }
  const latency: BenchCase = {
    ...rest,
    id: 'trace-latency',
    title: `${title}, latency at half of Envoy's saturation`,
    group: 'latency',
    metric: { name: '99th percentile of latency', unit: 'µs', higherIsBetter: false },
    value: 'own',
    commands: plan => [load.latencyCommand(plan, rate)],
    prepare: async (targets, plan) => {
      const envoy = targets.find(target => target.peer.id === 'envoy') ?? targets[0]!
      const sample = await load.saturate(envoy, plan)
      if (sample.unlike !== undefined) plan.notes.push(`${envoy.peer.id}, saturated: ${sample.unlike}`)
      rate = Math.max(1, Math.round(sample.count / sample.seconds / 2))
      plan.notes.push(`Envoy saturates at ${rate * 2} requests/s; ${rate} were offered`)
    },
    measure: (target, plan) => load.constant(rate, target, plan),
  }
  return [cost, latency]
}

/** Which requests of the trace are sent. */
function scopeOf({ total, place }: Work, { requests, http2, tls, serverName, leavesOut }: TraceLoad): string {
  const manner = `over HTTP/${http2 ? 2 : 1.1} ${tls ? 'with' : 'without'} TLS${serverName === '' ? '' : ` for ${serverName}`}`
  const rest = leavesOut === '' ? '' : `, but ${leavesOut}`
  return `${requests.length} of ${total} requests are in the load: those of text to listener ${place.name} ${manner}${rest}`
}

function loadOf({ entries, http2, tls, serverName, identity }: Work, folder: string): TraceLoad {
  let client: ClientFiles | null = null
  if (identity !== null && tls) {
    client = { cert: join(folder, 'client.pem'), key: join(folder, 'client.key') }
    writeFileSync(client.cert, identity.cert)
    writeFileSync(client.key, identity.key)
  }
  const texts = entries.filter(({ body }) => isUtf8(body))
  return new TraceLoad(
    texts.map(entry => toUserRequest(entry, http2)),
    { http2, tls, serverName, client },
  )
}

/** The configuration of one process; its control plane has everything that came in the end. */
function configFor(work: Work, options: CompareOptions, sites: Sites, spare: Spare): string {
  const plane = spare.planes[spare.used++] ?? null
  const { purpose: own } = work.place
  const { text, pushes, files } = rewrite(work.config, {
    port: purpose => (purpose === 'admin' ? sites.admin : purpose === own ? sites.listen : spare.ports.pop()!),
    endpoint: (_, protocol) => (options.realUpstreams ? null : sites.upstreams[protocol]),
    controlPlane: plane?.port ?? 0,
    log: sites.log,
    folder: sites.folder,
  })
  plane?.publish(pushes.at(-1) ?? [])
  for (const file of files) writeFileSync(file.path, file.text)
  return text
}

/** For both proxies: ports of listeners that get no load, and control planes. */
class Spare {
  readonly ports: number[] = []
  readonly planes: ControlPlane[] = []
  /** Control planes that a process has. */
  used = 0

  static async take(work: Work, options: CompareOptions): Promise<Spare> {
    let wanted = 0
    rewrite(work.config, { port: () => ++wanted, endpoint: () => null, controlPlane: 0, log: '', folder: '' })
    const free = new Ports(options.firstPort + 400)
    const spare = new Spare()
    for (let i = 0; i < wanted * 2; i++) spare.ports.push(await free.take())
    if (work.config.controlPlane.size === 0) return spare
    const { ControlPlane } = await import('./control-plane.ts')
    for (let i = 0; i < 2; i++) spare.planes.push(await ControlPlane.start())
    return spare
  }
}

function toUserRequest(entry: TraceEntry, http2: boolean): UserRequest {
  const headers: Record<string, string> = {}
  for (const [name, value] of headersFor(entry, http2)) {
    const key = name.toLowerCase()
    const before = headers[key]
    // One line has the same meaning (RFC 9110 §5.3; RFC 9113 §8.2.3 for cookies, which HTTP/2 may split).
    headers[key] = before === undefined ? value : `${before}${key === 'cookie' ? '; ' : ', '}${value}`
  }
  return {
    method: entry.method,
    host: entry.url.host,
    path: entry.url.pathname + entry.url.search,
    headers,
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
