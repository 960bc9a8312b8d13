import { constants } from 'node:crypto'
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ConnectionOptions } from 'node:tls'
import { isDeepStrictEqual } from 'node:util'
import { type ClientScript, playHttp1 } from '../../bench/wire/http1-client.ts'
import { ProxyProcess } from '../../bench/wire/proxy-process.ts'
import { certificate, certificatePath } from '../harness/certificates.ts'
import { playH2 } from '../harness/h2-client.ts'
import { allocatePort, releasePort } from '../harness/ports.ts'
import { UpstreamSet } from '../harness/upstream.ts'
import { describeAdmin } from './admin-body.ts'
import { Normaliser } from './normalise.ts'
import { describeH2, describeHttp1, describeTcp, describeUpstream, type ScenarioObservation } from './observation.ts'
import type { Group, Scenario, Step, TlsClient } from './scenario.ts'

/** A client gives up after this long, ms. No scenario waits for that, so on a busy machine it may take as long as it likes. */
const PATIENCE = 20_000
const DEFAULT_LINGER = 30
/** Nothing new in the log or at the upstreams for this long means that the scenario is over, ms. */
const QUIET = 120
/** How long log lines, upstream requests and statistics may be late, ms: what is missing for good costs as much. */
const LATE = 6000
const NOTHING: ScenarioObservation = { steps: [], upstream: [], log: [], stats: {} }

/** One proxy process with the upstreams of its group; scenarios run one after the other. */
export class GroupRun {
  private readonly group: Group
  private readonly upstreams = new UpstreamSet()
  private readonly ports = new Map<string, number>()
  private readonly directory = mkdtempSync(join(tmpdir(), 'parity-'))
  private proxy: ProxyProcess | null = null
  private normaliser: Normaliser | null = null
  /** TLS sessions of this scenario's clients, newest last. */
  private sessions: Buffer[] = []

  constructor(group: Group) {
    this.group = group
  }

  async start(command: readonly string[]): Promise<void> {
    await this.upstreams.start(this.group.upstreams)
    for (const [name, port] of this.upstreams.ports) this.ports.set(name, port)
    const { config } = this.group
    const template = typeof config === 'string' ? config : JSON.stringify(config, null, 1)
    const text = await this.fill(template)
    for (const [name, content] of Object.entries(this.group.files ?? {})) await this.put(name, content)
    const file = join(this.directory, typeof config === 'string' ? 'config.yaml' : 'config.json')
    writeFileSync(file, text)
    const names = new Map([...this.ports].map(([name, port]) => [port, name]))
    this.normaliser = new Normaliser(names, { tmp: this.directory, certs: join(certificatePath('.')) })
    const admin = await this.port('admin')
    this.proxy = await ProxyProcess.start(command, file, this.directory, admin, this.group.args)
  }

  async stop(): Promise<void> {
    await this.proxy?.stop()
    await this.upstreams.stop()
    for (const [name, port] of this.ports) if (!this.upstreams.ports.has(name)) releasePort(port)
    rmSync(this.directory, { recursive: true, force: true })
  }

  /** Why the proxy is gone, with the end of its log; null while it lives. */
  get crash(): string | null {
    const died = this.proxy?.died ?? null
    return died === null ? null : `proxy exited with ${died}:\n${this.proxy?.logTail()}`
  }

  /** Runs one scenario. `expected`: the recorded observation, only to know what is to be waited for. */
  async run(scenario: Scenario, expected?: ScenarioObservation): Promise<ScenarioObservation> {
    const { state } = this.upstreams
    state.clear()
    this.sessions = []
    const compare = scenario.compare ?? {}
    const logStart = this.logLines().length
    const wanted = (compare.stats ?? []).map(pattern => new RegExp(pattern))
    const before = wanted.length === 0 ? new Map<string, number>() : await this.proxy!.stats()
    const steps: unknown[] = []
    for (const [i, step] of scenario.steps.entries()) steps.push(await this.step(step, expected?.steps[i]))
    const lines = compare.logLines ?? expected?.log.length ?? 0
    await this.settle(logStart, lines, compare.upstream === false ? 0 : (expected?.upstream.length ?? 0))
    const log = this.logLines().slice(logStart)
    const metrics = (compare.metrics ?? []).map(pattern => new RegExp(pattern))
    const upstream = state.records
      .map(record => describeUpstream(record, metrics))
      .map(request => {
        if (compare.shuffledHeads?.includes(request.upstream) !== true) return request
        return { ...request, head: [...request.head].sort() }
      })
    const read = () => (wanted.length === 0 ? {} : this.statChanges(before, wanted))
    let stats: Record<string, number> = await read()
    if (expected !== undefined) {
      // Workers count for themselves and main learns of it later.
      const same = () => isDeepStrictEqual(this.normaliser!.scenario({ ...NOTHING, stats }).stats, expected.stats)
      const deadline = Date.now() + LATE
      for (; !same() && Date.now() < deadline; stats = await read()) await sleep(50)
    }
    const observed = this.normaliser!.scenario({
      steps,
      upstream: compare.upstream === false ? [] : upstream,
      log: compare.log === false ? [] : log,
      stats,
    })
    if (compare.unordered !== true) return observed
    const byText = (a: unknown, b: unknown) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)
    return { ...observed, upstream: [...observed.upstream].sort(byText), log: [...observed.log].sort() }
  }

  /** `expected`: what was recorded of it, only to know whether a close is to be waited for. */
  private async step(step: Step, expected?: unknown): Promise<unknown> {
    const linger = closes(expected) ? PATIENCE : DEFAULT_LINGER
    switch (step.kind) {
      case 'http1':
        return describeHttp1(await playHttp1(await this.clientScript(step, step.responses, step.methods, linger)))
      case 'tcp':
        return describeTcp(await playHttp1({ ...(await this.clientScript(step, 0, [], linger)), raw: true }))
      case 'h2':
        return describeH2(
          await playH2({
            ...step,
            port: await this.port(step.listener),
            timeout: PATIENCE,
            linger,
            ...tlsOptions(step.tls, ['h2'], this.sessions),
          } as Parameters<typeof playH2>[0]),
        )
      case 'admin':
        return describeAdmin(step, await this.proxy!.admin(step.method, step.path, step.body))
      case 'wait':
        await sleep(step.ms)
        return `waited ${step.ms} ms`
      case 'file':
        await this.put(step.name, step.content)
        return `wrote ${step.name}`
      case 'until':
        return this.until(step.stat, step.value, step.exact === true)
      case 'together': {
        const results = step.steps.map(async (entry, i) => {
          await sleep(entry.after)
          return this.step(entry.step, Array.isArray(expected) ? expected[i] : undefined)
        })
        return Promise.all(results)
      }
      case 'tally':
        return this.tally(step)
    }
  }

  private async clientScript(
    step: Extract<Step, { kind: 'http1' | 'tcp' }>,
    responses: number,
    methods: readonly string[],
    linger: number,
  ): Promise<ClientScript> {
    return {
      port: await this.port(step.listener),
      actions: step.actions,
      responses,
      methods,
      timeout: PATIENCE,
      linger: Math.max(step.linger ?? 0, linger),
      ...tlsOptions(step.tls, undefined, this.sessions),
      sessions: this.sessions,
    }
  }

  /** Outcome counts; which host a random balancer takes first is not compared, how often each one is. */
  private async tally(step: Extract<Step, { kind: 'tally' }>): Promise<unknown> {
    const counts: Record<string, number> = {}
    for (let i = 0; i < step.times; i++) {
      const from = this.upstreams.state.records.length
      const result = (await this.step(step.step)) as { responses?: { status: string }[] }
      const picked = this.upstreams.state.records.slice(from).map(record => record.upstream)
      const outcome = step.of === 'upstream' ? picked.join('+') : (result.responses?.[0]?.status ?? 'none')
      counts[outcome] = (counts[outcome] ?? 0) + 1
    }
    return Object.fromEntries(Object.entries(counts).sort())
  }

  private async until(stat: string, value: number, exact: boolean): Promise<string> {
    const deadline = Date.now() + PATIENCE
    let last = -1
    while (Date.now() < deadline) {
      last = (await this.proxy!.stats()).get(stat) ?? -1
      if (exact ? last === value : last >= value) return `${stat} reached ${value}`
      await sleep(20)
    }
    return `${stat} never reached ${value}, was ${last}`
  }

  private async statChanges(before: Map<string, number>, wanted: readonly RegExp[]): Promise<Record<string, number>> {
    const gauges = await this.gaugeNames()
    const changes: Record<string, number> = {}
    for (const [name, value] of await this.proxy!.stats()) {
      if (!wanted.some(pattern => pattern.test(name))) continue
      changes[name] = gauges.has(name) ? value : value - (before.get(name) ?? 0)
    }
    return changes
  }

  async statNames(): Promise<ReadonlySet<string>> {
    const { body } = await this.proxy!.admin('GET', '/stats')
    const lines = body.split('\n').filter(line => line !== '')
    const { steps } = this.normaliser!.scenario({
      ...NOTHING,
      steps: lines.map(line => line.slice(0, line.indexOf(': '))),
    })
    return new Set(steps as string[])
  }

  private async gaugeNames(): Promise<Set<string>> {
    const { body } = await this.proxy!.admin('GET', '/stats?type=Gauges')
    return new Set(body.split('\n').map(line => line.slice(0, line.lastIndexOf(': '))))
  }

  private async settle(logStart: number, lines: number, requests: number): Promise<void> {
    const deadline = Date.now() + LATE
    let quietSince = Date.now()
    let last = ''
    while (Date.now() < deadline) {
      const count = this.logLines().length - logStart
      const { records } = this.upstreams.state
      const now = `${count} ${records.map(record => record.end + record.body.length).join()}`
      if (now !== last) quietSince = Date.now()
      last = now
      if (count >= lines && records.length >= requests && Date.now() - quietSince >= QUIET) return
      await sleep(10)
    }
  }

  private logLines(): string[] {
    try {
      return readFileSync(join(this.directory, 'access.log'), 'latin1').split('\n').slice(0, -1)
    } catch {
      return []
    }
  }

  private async port(name: string): Promise<number> {
    const known = this.ports.get(name)
    if (known !== undefined) return known
    const port = await allocatePort()
    this.ports.set(name, port)
    return port
  }

  private async put(name: string, content: object): Promise<void> {
    const path = join(this.directory, name)
    writeFileSync(`${path}.new`, await this.fill(JSON.stringify(content)))
    renameSync(`${path}.new`, path)
  }

  private async fill(template: string): Promise<string> {
    for (const found of template.matchAll(/\$port\((\w+)\)/g)) await this.port(found[1]!)
    return template
      .replace(/"\$port\((\w+)\)"/g, (_, name: string) => String(this.ports.get(name)))
      .replace(/\$port\((\w+)\)/g, (_, name: string) => String(this.ports.get(name)))
      .replace(/\$cert\(([\w.]+)\)/g, (_, file: string) => certificatePath(file))
      .replaceAll('$tmp', this.directory)
  }
}

function tlsOptions(
  tls: TlsClient | undefined,
  alpn: readonly string[] | undefined,
  sessions: readonly Buffer[],
): { tls?: ConnectionOptions } {
  if (tls === undefined) return {}
  const protocols = tls.alpn ?? alpn
  return {
    tls: {
      ...(tls.sni === undefined ? {} : { servername: tls.sni }),
      ...(protocols === undefined ? {} : { ALPNProtocols: [...protocols] }),
      ...(tls.certificate === undefined ? {} : certificate(tls.certificate)),
      ...(tls.maxVersion === undefined ? {} : { maxVersion: tls.maxVersion }),
      ...(tls.sigalgs === undefined ? {} : { sigalgs: tls.sigalgs }),
      ...(tls.resume === true ? { session: sessions.at(-1) } : {}),
      ...(tls.noTickets === true ? { secureOptions: constants.SSL_OP_NO_TICKET } : {}),
    },
  }
}

function closes(step: unknown): boolean {
  const { connection } = (step ?? {}) as { connection?: unknown }
  return connection === 'closed' || connection === 'reset'
}

function sleep(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
