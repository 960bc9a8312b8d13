import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Ports } from '../load/ports.ts'
import { playHttp1 } from '../wire/http1-client.ts'
import { askHttp2 } from '../wire/http2-client.ts'
import { ProxyProcess } from '../wire/proxy-process.ts'
import type { JsonObject } from './json.ts'
import { Normaliser } from './normalise.ts'
import { CompareError } from './options.ts'
import { Recorder } from './recorder.ts'
import type { Exchange } from './result.ts'
import { LOG_FIELDS, type Rewritten, type RewrittenListener, rewrite } from './rewrite.ts'
import { requestBytes, type TraceEntry } from './trace.ts'

/** The line of a request is written some milliseconds after its answer; longer than this and there is none. */
const LOG_MS = 3000
/** Ports of one proxy in a configuration of any size. */
const MOST_PORTS = 512

/** One proxy that runs on its copy of the configuration, with upstreams of its own. */
export class Side {
  readonly title: string
  readonly rewritten: Rewritten
  private readonly process: ProxyProcess
  private readonly recorder: Recorder
  private readonly normaliser: Normaliser
  private readonly folder: string
  private readonly log: string

  private constructor(
    title: string,
    rewritten: Rewritten,
    process: ProxyProcess,
    recorder: Recorder,
    normaliser: Normaliser,
    folder: string,
    log: string,
  ) {
    this.title = title
    this.rewritten = rewritten
    this.process = process
    this.recorder = recorder
    this.normaliser = normaliser
    this.folder = folder
    this.log = log
  }

  /** Starts the proxy. Throws CompareError with the end of its log when it does not get ready. */
  static async start(
    title: string,
    binary: string,
    config: JsonObject,
    options: { readonly first: TraceEntry; readonly realUpstreams: boolean; readonly free: Ports },
  ): Promise<Side> {
    const folder = mkdtempSync(join(tmpdir(), 'remora-compare-'))
    const recorder = new Recorder(options.first.answer)
    const log = join(folder, 'compare.log')
    const purposes = new Map<number, string>()
    try {
      const ports = await reserve(config, options.free, recorder, options.realUpstreams)
      const rewritten = rewrite(config, {
        port: purpose => {
          const port = ports.next()
          purposes.set(port, purpose)
          return port
        },
        endpoint: cluster => {
          if (options.realUpstreams) return null
          const port = ports.nextEndpoint(cluster)
          if (port !== null) purposes.set(port, `an endpoint of ${cluster}`)
          return port
        },
        log,
        folder,
      })
      const file = join(folder, 'config.json')
      writeFileSync(file, rewritten.text)
      const process = await ProxyProcess.start([binary], file, folder, rewritten.admin, [], globalThis.process.cwd())
      return new Side(title, rewritten, process, recorder, new Normaliser(purposes, folder), folder, log)
    } catch (error) {
      recorder.close()
      rmSync(folder, { recursive: true, force: true })
      throw error instanceof CompareError ? error : new CompareError(`${title}: ${(error as Error).message}`)
    }
  }

  /** Sends one request and gathers everything there is to see of it. */
  async play(entry: TraceEntry, listener: number, timeoutSeconds: number): Promise<Exchange> {
    const place = this.rewritten.listeners[listener]!
    const { recorder } = this
    recorder.answer = entry.answer
    recorder.attempts.length = 0
    const before = this.logLines().length
    const answer = entry.http2
      ? await overHttp2(entry, place, timeoutSeconds)
      : await overHttp1(entry, place, timeoutSeconds)
    const line = await this.nextLogLine(before)
    if (this.process.died !== null)
      throw new CompareError(`${this.title} ended (${this.process.died}):\n${this.process.logTail()}`)
    return this.normaliser.exchange({ ...answer, log: line, attempts: [...recorder.attempts] })
  }

  /** Counters by normalised name, and the names of everything else. */
  async stats(): Promise<{ readonly names: ReadonlySet<string>; readonly counters: ReadonlyMap<string, number> }> {
    const all = await this.process.admin('GET', '/stats')
    const names = new Set<string>()
    for (const line of all.body.split('\n')) {
      const colon = line.lastIndexOf(': ')
      if (colon > 0) names.add(this.normaliser.statName(line.slice(0, colon)))
    }
    const counters = new Map<string, number>()
    const counted = await this.process.admin('GET', '/stats?type=Counters')
    for (const line of counted.body.split('\n')) {
      const found = /^(.+): (\d+)$/.exec(line)
      if (found !== null) counters.set(this.normaliser.statName(found[1]!), Number(found[2]))
    }
    return { names, counters }
  }

  async stop(): Promise<void> {
    await this.process.stop()
    this.recorder.close()
    rmSync(this.folder, { recursive: true, force: true })
  }

  private logLines(): string[] {
    return existsSync(this.log) ? readFileSync(this.log, 'latin1').split('\n').slice(0, -1) : []
  }

  private async nextLogLine(before: number): Promise<Record<string, string>> {
    const end = Date.now() + LOG_MS
    for (;;) {
      const line = this.logLines()[before]
      if (line !== undefined) {
        const values = line.split('\t')
        return Object.fromEntries(LOG_FIELDS.map(([name], i) => [name, values[i] ?? '']))
      }
      if (Date.now() > end || this.process.died !== null) return {}
      await sleep(4)
    }
  }
}

/** Ports are taken before the configuration is rewritten, as taking them waits and rewriting does not. */
async function reserve(config: JsonObject, free: Ports, recorder: Recorder, real: boolean) {
  const listeners: number[] = []
  const endpoints = new Map<string, number[]>()
  let wanted = 0
  let taken = 0
  // A dry run tells how many of each there are.
  rewrite(config, {
    port: () => ++wanted,
    endpoint: cluster => {
      endpoints.set(cluster, endpoints.get(cluster) ?? [])
      endpoints.get(cluster)!.push(0)
      return real ? null : 1
    },
    log: '',
    folder: '',
  })
  if (wanted > MOST_PORTS) throw new CompareError(`${wanted} listeners are more than ${MOST_PORTS}`)
  for (let i = 0; i < wanted; i++) listeners.push(await free.take())
  if (!real) {
    for (const [cluster, ports] of endpoints)
      for (let i = 0; i < ports.length; i++) ports[i] = await recorder.listen(cluster)
  }
  return {
    next: () => listeners[taken++]!,
    nextEndpoint: (cluster: string) => endpoints.get(cluster)?.shift() ?? null,
  }
}

type Seen = Pick<Exchange, 'status' | 'headers' | 'body' | 'trailers' | 'connection'>

async function overHttp1(entry: TraceEntry, place: RewrittenListener, timeoutSeconds: number): Promise<Seen> {
  const result = await playHttp1({
    port: place.port,
    actions: [requestBytes(entry)],
    responses: 1,
    methods: [entry.method],
    timeout: timeoutSeconds * 1000,
    linger: 0,
    ...(place.tls ? { tls: { servername: entry.url.hostname, ALPNProtocols: ['http/1.1'] } } : {}),
  })
  const message = result.messages.at(-1)
  const complete = message?.complete !== false
  return {
    status: message === undefined ? `no answer: ${result.tls ?? result.fate}` : message.startLine,
    headers: message?.headers ?? [],
    body: message?.body.toString('latin1') ?? '',
    trailers: message?.trailers ?? [],
    connection: complete ? result.fate : `${result.fate}, answer incomplete`,
  }
}

async function overHttp2(entry: TraceEntry, place: RewrittenListener, timeoutSeconds: number): Promise<Seen> {
  const { status, headers, body, trailers, complete, reset, fate, tls } = await askHttp2({
    port: place.port,
    method: entry.method,
    scheme: place.tls ? 'https' : 'http',
    authority: entry.url.host,
    path: entry.url.pathname + entry.url.search,
    headers: entry.headers,
    body: entry.body,
    serverName: entry.url.hostname,
    timeout: timeoutSeconds * 1000,
  })
  return {
    status: status === null ? `no answer: ${tls ?? fate}` : `HTTP/2 ${status}`,
    headers,
    body: body.toString('latin1'),
    trailers,
    connection: complete ? fate : `${fate}, answer incomplete, stream reset with ${reset}`,
  }
}
