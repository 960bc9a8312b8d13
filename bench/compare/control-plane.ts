import { setTimeout as sleep } from 'node:timers/promises'
import { ConfigError } from '../../src/base/errors.ts'
import { encodeMessage } from '../../src/config/binary.ts'
import { FieldPath } from '../../src/config/field-path.ts'
import { readJson, unknownFieldText } from '../../src/config/json-reader.ts'
import { AdsServer } from '../../src/lab/ads-server.ts'
import type { AdsEvent } from '../../src/lab/ads-session.ts'
import type { Resource } from '../../src/lab/resource-files.ts'
import type { JsonObject } from './json.ts'
import { CompareError } from './options.ts'
import { messageOf, nameOf } from './resources.ts'
import type { TypeAnswer } from './result.ts'

/** This long nothing happens after the last answer: what is asked for next (endpoints of clusters that came) was asked for. */
const QUIET_MS = 200
const STEP_MS = 20

/** The control plane of one proxy: serves what it was given last, over aggregated and other streams of either protocol. */
export class ControlPlane {
  private readonly server = new AdsServer(event => this.onEvent(event))
  private readonly types = new Map<string, TypeState>()
  private lastEvent = 0
  private bound = 0

  private constructor() {}

  static async start(): Promise<ControlPlane> {
    const plane = new ControlPlane()
    plane.bound = await plane.server.listen('127.0.0.1:0')
    return plane
  }

  /** On 127.0.0.1. */
  get port(): number {
    return this.bound
  }

  /** Throws CompareError when a resource is no message of its type. */
  publish(resources: readonly JsonObject[]): void {
    const shared = resources.map(resource => encode(resource))
    this.types.clear()
    this.lastEvent = Date.now()
    this.server.publish({ shared, perNode: new Map() })
  }

  /** Resolves with what was answered since the last `publish`, when all is, or when the time is over. */
  async answers(timeoutSeconds: number): Promise<readonly TypeAnswer[]> {
    const end = Date.now() + timeoutSeconds * 1000
    while (Date.now() < end && !this.settled()) await sleep(STEP_MS)
    return this.summary()
  }

  /** As `answers`, without waiting. */
  summary(): readonly TypeAnswer[] {
    return [...this.types]
      .map(([type, state]) => ({
        type,
        names: [...state.names].sort(),
        absent: [...state.absent].sort(),
        rejections: [...state.rejections],
        answered: state.answered,
      }))
      .sort((a, b) => (a.type < b.type ? -1 : 1))
  }

  close(): void {
    this.server.close()
  }

  private settled(): boolean {
    return Date.now() - this.lastEvent >= QUIET_MS && [...this.types.values()].every(({ answered }) => answered)
  }

  private onEvent({ kind, stream, type, names, absent, reason }: AdsEvent): void {
    this.lastEvent = Date.now()
    if (kind === 'disconnected') for (const state of this.types.values()) state.lose(stream)
    if (kind !== 'sent' && kind !== 'ack' && kind !== 'nack') return
    const state = this.types.get(type) ?? new TypeState()
    this.types.set(type, state)
    if (kind === 'sent') state.waiting.add(stream)
    else state.answer(stream)
    for (const name of names) state.names.add(name)
    for (const name of absent) state.absent.add(name)
    if (kind === 'nack') state.rejections.add(reason)
  }
}

class TypeState {
  readonly names = new Set<string>()
  readonly absent = new Set<string>()
  readonly rejections = new Set<string>()
  /** Streams that owe an answer: proxies open one per secret, or per cluster, where the configuration has no aggregated one. */
  readonly waiting = new Set<number>()
  /** One that owed an answer is gone. The next answer ends this: proxies connect again. */
  private lost = false

  get answered(): boolean {
    return this.waiting.size === 0 && !this.lost
  }

  answer(stream: number): void {
    this.waiting.delete(stream)
    this.lost = false
  }

  lose(stream: number): void {
    if (this.waiting.delete(stream)) this.lost = true
  }
}

function encode(resource: JsonObject): Resource {
  const { '@type': typeUrl, ...fields } = resource
  const type = messageOf(typeUrl)
  const name = nameOf(resource)
  const where = `${type.split('.').at(-1)} ${name}`
  try {
    const { message, unknownFields } = readJson(type, fields, FieldPath.root())
    // Bytes have no place for a field that has no number.
    const [unknown] = unknownFields
    if (unknown !== undefined) throw new CompareError(`${where}: ${unknownFieldText(unknown)}`)
    return { typeUrl: String(typeUrl), name, value: encodeMessage(type, message) }
  } catch (error) {
    if (error instanceof ConfigError) throw new CompareError(`${where}: ${error.message}`)
    throw error
  }
}
