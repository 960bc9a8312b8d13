import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Plan, Sample } from '../load/case.ts'
import { argumentsFor, latencySample } from '../load/cases/latency.ts'
import type { ClientFiles } from '../load/checks/ask.ts'
import { wrkCommand, wrkLoad } from '../load/drivers/wrk-load.ts'
import { runOpenLoop } from '../load/open-loop/command.ts'
import type { OpenLoopResult } from '../load/open-loop/result.ts'
import { asLoad } from '../load/pinning.ts'
import type { Target } from '../load/target.ts'
import type { Manner } from '../load/user/case.ts'
import { ExpectedAnswers } from '../load/user/expected.ts'
import type { UserRequest } from '../load/user/requests.ts'
import { wrkScript } from '../load/user/wrk-script.ts'

const CONNECTIONS = 32
/** As in the bench's own cases of HTTP/2. */
const HTTP2_CONNECTIONS = 8
const HTTP2_STREAMS = 32
const LONGEST_HTTP2_BODY = 16384

/** The requests of a trace as load: in turn, over HTTP/1.1 or HTTP/2, with TLS or without. */
export class TraceLoad {
  readonly requests: readonly UserRequest[]
  /** What is not in `requests`, in words. */
  readonly leavesOut: string
  readonly http2: boolean
  readonly tls: boolean
  readonly serverName: string
  readonly client: ClientFiles | null
  /** wrk speaks HTTP/1.1 only, has no certificates, and takes no name for SNI but that which it connects to. */
  readonly usesWrk: boolean
  /** Of `requests`; learnt by who checks them before the load. */
  readonly expected: ExpectedAnswers

  constructor(all: readonly UserRequest[], { http2, tls, serverName, client }: Manner) {
    this.http2 = http2
    this.tls = tls
    this.serverName = serverName
    this.client = client
    this.usesWrk = !http2 && !(tls && (client !== null || serverName !== ''))
    // wrk waits for the body that an answer to HEAD announces and does not have.
    this.leavesOut = this.usesWrk ? 'HEAD' : http2 ? 'bodies over 16 KiB' : ''
    this.requests = all.filter(({ method, body }) =>
      this.usesWrk ? method !== 'HEAD' : !http2 || Buffer.byteLength(body) <= LONGEST_HTTP2_BODY,
    )
    this.expected = new ExpectedAnswers(this.requests.length)
  }

  /** How the load looks on a command line. */
  saturatingCommand(seconds: number): string {
    if (!this.usesWrk) return this.openLoopCommand(this.saturating(seconds))
    const options = { connections: CONNECTIONS, script: 'REQUESTS.lua', tls: this.tls }
    return wrkCommand(options, '{port}', seconds).join(' ')
  }

  latencyCommand(plan: Plan, rate: number): string {
    return this.openLoopCommand(argumentsFor(plan, rate, this.connections))
  }

  /** The next request when one is answered. */
  async saturate(target: Target, plan: Plan): Promise<Sample> {
    if (this.usesWrk) {
      const script = join(plan.folder, 'requests.lua')
      writeFileSync(script, wrkScript(this.requests))
      return wrkLoad({ connections: CONNECTIONS, script, tls: this.tls, expected: this.expected }, target, plan)
    }
    const result = await runOpenLoop(
      [...this.saturating(plan.seconds), ...this.place(target, plan)],
      asLoad(plan.pinning, []),
    )
    const { count, errors, unlike } = this.sample(result)
    // Until the last answer: what was on the way when the time was over is counted too.
    const seconds = count === 0 ? result.seconds : count / result.achievedRate
    return { seconds, count, errors, ...(unlike === undefined ? {} : { unlike }) }
  }

  /** A constant rate, whatever becomes of the requests before. */
  async constant(rate: number, target: Target, plan: Plan): Promise<Sample> {
    const prefix = plan.pinning.load === null ? [] : ['taskset', '-c', plan.pinning.load]
    const argv = [...argumentsFor(plan, rate, this.connections), ...this.place(target, plan)]
    return this.sample(await runOpenLoop(argv, prefix))
  }

  private sample(result: OpenLoopResult): Sample {
    return latencySample(result, this.expected, this.http2 ? HTTP2_STREAMS : 1)
  }

  private get connections(): number {
    return this.http2 ? HTTP2_CONNECTIONS : CONNECTIONS
  }

  private saturating(seconds: number): string[] {
    const time = ['--warmup', '0', '--seconds', String(Math.ceil(seconds))]
    return ['--rate', 'most', '--connections', String(this.connections), ...time]
  }

  private openLoopCommand(argv: readonly string[]): string {
    const client = this.client === null ? null : { cert: 'CLIENT.pem', key: 'CLIENT.key' }
    return `open-loop ${[...argv, ...this.arguments('{port}', 'REQUESTS.json', client)].join(' ')}`
  }

  private place(target: Target, plan: Plan): string[] {
    const file = join(plan.folder, 'requests.json')
    writeFileSync(file, JSON.stringify(this.requests))
    return this.arguments(target.sites.listen, file, this.client)
  }

  private arguments(port: number | '{port}', requests: string, client: ClientFiles | null): string[] {
    const http2 = this.http2 ? ['--h2', '--streams', String(HTTP2_STREAMS)] : []
    const name = this.tls && this.serverName !== '' ? ['--sni', this.serverName] : []
    const identity = client === null ? [] : ['--cert', client.cert, '--key', client.key]
    return [
      '--url',
      `http${this.tls ? 's' : ''}://127.0.0.1:${port}/`,
      '--requests',
      requests,
      ...http2,
      ...name,
      ...identity,
    ]
  }
}
