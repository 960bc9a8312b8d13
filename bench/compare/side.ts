import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Ports } from '../load/ports.ts'
import type { Leftovers } from '../load/processes/leftovers.ts'
import { ProxyProcess } from '../wire/proxy-process.ts'
import { type Manner, send } from './client.ts'
import type { Configuration } from './configuration.ts'
import type { ControlPlane } from './control-plane.ts'
import { Normaliser } from './normalise.ts'
import { CompareError } from './options.ts'
import { Recorder } from './recorder.ts'
import type { Exchange, TypeAnswer } from './result.ts'
import { type Rewritten, rewrite } from './rewrite.ts'
import { LOG_FIELDS } from './rewrite-listener.ts'
import type { TraceEntry } from './trace.ts'

/** The line of a request is written some milliseconds after its answer; longer than this and there is none. */
const LOG_MS = 3000
/** Ports of one proxy in a configuration of any size. */
const MOST_PORTS = 512
/** Longest wait for what a proxy says to a push. */
const PUSH_SECONDS = 10

/** One proxy that runs on its copy of the configuration, with upstreams of its own. */
export class Side {
  readonly title: string
  readonly rewritten: Rewritten
  /** What was said to each push; empty without a control plane. */
  readonly answers: readonly (readonly TypeAnswer[])[]
  private readonly plane: ControlPlane | null
  private readonly process: ProxyProcess
  private readonly recorder: Recorder
  private readonly normaliser: Normaliser
  private readonly folder: string
  private readonly log: string

  private constructor(
    title: string,
    rewritten: Rewritten,
    plane: ControlPlane | null,
    answers: readonly (readonly TypeAnswer[])[],
    process: ProxyProcess,
    recorder: Recorder,
    normaliser: Normaliser,
    folder: string,
    log: string,
  ) {
    this.title = title
    this.rewritten = rewritten
    this.plane = plane
    this.answers = answers
    this.process = process
    this.recorder = recorder
    this.normaliser = normaliser
    this.folder = folder
    this.log = log
  }

  /** Starts the proxy and pushes everything. Throws CompareError with the end of its log when it does not get ready. */
  static async start(
    title: string,
    binary: string,
    configuration: Configuration,
    options: {
      readonly first: TraceEntry
      readonly realUpstreams: boolean
      readonly readySeconds: number
      readonly free: Ports
      readonly leftovers: Leftovers
    },
  ): Promise<Side> {
    const folder = mkdtempSync(join(tmpdir(), 'remora-compare-'))
    options.leftovers.addFolder(folder)
    const recorder = new Recorder(options.first.answer)
    const log = join(folder, 'compare.log')
    const purposes = new Map<number, string>()
    let plane: ControlPlane | null = null
    try {
      const ports = await reserve(configuration, options.free, recorder, options.realUpstreams)
      if (configuration.controlPlane.size > 0) {
        // It brings gRPC and the descriptors of all messages.
        plane = await (await import('./control-plane.ts')).ControlPlane.start()
        purposes.set(plane.port, 'the control plane')
      }
      const rewritten = rewrite(configuration, {
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
        controlPlane: plane?.port ?? 0,
        log,
        folder,
      })
      const file = join(folder, 'config.json')
      writeFileSync(file, rewritten.text)
      for (const { path, text } of rewritten.files) writeFileSync(path, text)
      plane?.publish(rewritten.pushes[0] ?? [])
      const process = await started(binary, file, folder, rewritten.admin, options, plane)
      const normaliser = new Normaliser(purposes, folder)
      try {
        const answers = plane === null ? [] : await pushAll(plane, rewritten.pushes)
        const normal = answers.map(types => types.map(one => normaliser.answer(one)))
        return new Side(title, rewritten, plane, normal, process, recorder, normaliser, folder, log)
      } catch (error) {
        await process.stop()
        throw error
      }
    } catch (error) {
      plane?.close()
      recorder.close()
      rmSync(folder, { recursive: true, force: true })
      throw new CompareError(`${title}: ${(error as Error).message}`)
    }
  }

  /** Sends one request and gathers everything there is to see of it. */
  async play(entry: TraceEntry, listener: number, manner: Manner): Promise<Exchange> {
    const place = this.rewritten.listeners[listener]!
    const { recorder } = this
    recorder.answer = entry.answer
    recorder.attempts.length = 0
    const before = this.logLines().length
    const answer = await send(entry, place, manner)
    const isLogged = place.codec !== null && answer.connection !== 'refused'
    const line = isLogged ? await this.nextLogLine(before) : {}
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
    this.plane?.close()
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

/** Throws with what the proxy still waits for, where its log does not tell. */
async function started(
  binary: string,
  file: string,
  folder: string,
  admin: number,
  { readySeconds, leftovers }: { readonly readySeconds: number; readonly leftovers: Leftovers },
  plane: ControlPlane | null,
): Promise<ProxyProcess> {
  try {
    const cwd = globalThis.process.cwd()
    return await ProxyProcess.start([binary], file, folder, admin, [], cwd, readySeconds, one => leftovers.add(one))
  } catch (error) {
    const absent = (plane?.summary() ?? []).flatMap(({ type, absent }) => absent.map(name => `${type} ${name}`))
    if (absent.length === 0) throw error
    const advice = `it asked for what --resources does not have: ${absent.join(', ')}`
    throw new CompareError(`${(error as Error).message}\n${advice}`)
  }
}

/** The first push is there from the start; each later one follows when the one before was answered. */
async function pushAll(plane: ControlPlane, pushes: Rewritten['pushes']): Promise<(readonly TypeAnswer[])[]> {
  const answers = [await plane.answers(PUSH_SECONDS)]
  for (const push of pushes.slice(1)) {
    plane.publish(push)
    answers.push(await plane.answers(PUSH_SECONDS))
  }
  return answers
}

/** Ports are taken before the configuration is rewritten, as taking them waits and rewriting does not. */
async function reserve(configuration: Configuration, free: Ports, recorder: Recorder, real: boolean) {
  const listeners: number[] = []
  const endpoints = new Map<string, number[]>()
  let wanted = 0
  let taken = 0
  // A dry run tells how many of each there are.
  rewrite(configuration, {
    port: () => ++wanted,
    endpoint: cluster => {
      endpoints.set(cluster, endpoints.get(cluster) ?? [])
      endpoints.get(cluster)!.push(0)
      return real ? null : 1
    },
    controlPlane: 0,
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
