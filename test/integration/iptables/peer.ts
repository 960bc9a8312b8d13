import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { inNamespace, type NetworkNode } from '../../../src/lab/network.ts'
import type { Arrival, Request } from './tcp-peer.ts'

const PEER = join(import.meta.dirname, 'tcp-peer.ts')

/** One driven process in a namespace, with a user and a group of its own; requests are answered in order. */
export class Peer {
  readonly #child: ChildProcess
  readonly #waiting: ((reply: Arrival) => void)[] = []

  constructor(node: NetworkNode, uid: number, gid = uid) {
    const [file, ...args] = inNamespace(node.namespace, [process.execPath, PEER, String(uid), String(gid)])
    this.#child = spawn(file as string, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    createInterface({ input: this.#child.stdout! }).on('line', line => {
      this.#waiting.shift()?.(JSON.parse(line) as Arrival)
    })
  }

  ask(request: Request): Promise<Arrival> {
    return new Promise(resolve => {
      this.#waiting.push(resolve)
      this.#child.stdin!.write(`${JSON.stringify(request)}\n`)
    })
  }

  connect(host: string, port: number, from?: string): Promise<Arrival> {
    return this.ask({ op: 'connect', host, port, ...(from === undefined ? {} : { from }) })
  }

  datagram(host: string, port: number): Promise<Arrival> {
    return this.ask({ op: 'datagram', host, port })
  }

  /** Its ports are free when this resolves. */
  close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return Promise.resolve()
    this.#child.kill('SIGKILL')
    return new Promise(resolve => this.#child.once('exit', () => resolve()))
  }
}
