import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Plan, Sample } from '../load/case.ts'
import { argumentsFor, latencySample } from '../load/cases/latency.ts'
import type { ClientFiles } from '../load/checks/ask.ts'
import { wrkCommand, wrkLoad } from '../load/drivers/wrk-load.ts'
import { runOpenLoop } from '../load/open-loop/command.ts'
import { asLoad } from '../load/pinning.ts'
import type { Target } from '../load/target.ts'
import type { UserRequest } from '../load/user/requests.ts'
import { wrkScript } from '../load/user/wrk-script.ts'

const CONNECTIONS = 32
/** As in the bench's own cases of HTTP/2. */
const HTTP2_LOAD = ['--h2', '--connections', '8', '--streams', '32']

/** The requests of a trace as load: in turn, over HTTP/1.1 or HTTP/2, with TLS or without. */
export class TraceLoad {
  /** Bodies that do not fit into a frame are left out over HTTP/2, and HEAD where wrk sends. */
  readonly requests: readonly UserRequest[]
  readonly http2: boolean
  readonly tls: boolean
  readonly client: ClientFiles | null
  /** wrk speaks HTTP/1.1 only, and has no certificates. */
  readonly usesWrk: boolean

  constructor(all: readonly UserRequest[], http2: boolean, tls: boolean, client: ClientFiles | null) {
    this.http2 = http2
    this.tls = tls
    this.client = client
    this.usesWrk = !http2 && !(tls && client !== null)
    this.requests = all.filter(({ method, body }) =>
      // wrk waits for the body that an answer to HEAD announces and does not have.
      this.usesWrk ? method !== 'HEAD' : !http2 || Buffer.byteLength(body) <= 16384,
    )
  }

  /** How the load looks on a command line. */
  saturatingCommand(seconds: number): string {
    if (!this.usesWrk) return this.openLoopCommand(['--rate', 'most', '--seconds', String(seconds)])
    const options = { connections: CONNECTIONS, script: 'REQUESTS.lua', tls: this.tls }
    return wrkCommand(options, '{port}', seconds).join(' ')
  }

  latencyCommand(plan: Plan, rate: number): string {
    return this.openLoopCommand(argumentsFor(plan, rate))
  }

  /** The next request when one is answered. */
  async saturate(target: Target, plan: Plan): Promise<Sample> {
    if (this.usesWrk) {
      const script = join(plan.folder, 'requests.lua')
      writeFileSync(script, wrkScript(this.requests))
      return wrkLoad({ connections: CONNECTIONS, script, tls: this.tls, anyStatus: true }, target, plan)
    }
    const seconds = String(Math.ceil(plan.seconds))
    const argv = ['--rate', 'most', '--connections', String(CONNECTIONS), '--warmup', '0', '--seconds', seconds]
    const result = await runOpenLoop([...argv, ...this.place(target, plan)], asLoad(plan.pinning, []))
    const { count, seconds: took, errors } = latencySample(result, true)
    return { seconds: took, count, errors }
  }

  /** A constant rate, whatever becomes of the requests before. */
  async constant(rate: number, target: Target, plan: Plan): Promise<Sample> {
    const prefix = plan.pinning.load === null ? [] : ['taskset', '-c', plan.pinning.load]
    return latencySample(await runOpenLoop([...argumentsFor(plan, rate), ...this.place(target, plan)], prefix), true)
  }

  private openLoopCommand(argv: readonly string[]): string {
    const words = [...argv, ...(this.http2 ? HTTP2_LOAD : []), '--requests', 'REQUESTS.json']
    return `open-loop ${words.join(' ')} --url http${this.tls ? 's' : ''}://127.0.0.1:{port}/`
  }

  private place(target: Target, plan: Plan): string[] {
    const file = join(plan.folder, 'requests.json')
    writeFileSync(file, JSON.stringify(this.requests))
    const url = `http${this.tls ? 's' : ''}://127.0.0.1:${target.sites.listen}/`
    const identity = this.client === null ? [] : ['--cert', this.client.cert, '--key', this.client.key]
    return ['--url', url, '--requests', file, ...(this.http2 ? HTTP2_LOAD : []), ...identity]
  }
}
