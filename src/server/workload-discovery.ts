import { ConfigError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { FieldPath } from '../config/field-path.ts'
import type { envoy, istio } from '../config/gen/messages.d.ts'
import { typeNameOf } from '../config/registry.ts'
import { defineSupport } from '../config/support.ts'
import type { StatsStore } from '../stats/store.ts'
import type { WorkloadFields } from '../telemetry/workload-metadata.ts'
import type { PublishedWorkload } from '../worker/messages.ts'
import { readWorkload, WORKLOAD_STATS, type Workload } from '../xds/resources/wds.ts'
import type { ResourceUpdate } from '../xds/source.ts'
import type { UpdateHandler } from '../xds/xds-subscription.ts'
import type { Batcher } from './batcher.ts'

type Proto = istio.workload.BootstrapExtension

const TYPE = 'istio.workload.BootstrapExtension'
const support = defineSupport<Proto>(TYPE, { config_source: 'yes' })

/** Tens of times what a mesh has; each costs every worker some hundred bytes. */
const MAX_ADDRESSES = 500_000

export function isWorkloadDiscovery({ typed_config }: envoy.config.core.v3.TypedExtensionConfig): boolean {
  return typeNameOf(typed_config) === TYPE
}

/**
 * Source of workloads, when envoy.bootstrap.workload_discovery is in the bootstrap; else null.
 *
 * @throws ConfigError when it is not ADS: nobody serves them in another way
 */
export function workloadSource({
  bootstrap_extensions,
}: envoy.config.bootstrap.v3.Bootstrap): envoy.config.core.v3.ConfigSource | null {
  const extensions = bootstrap_extensions ?? []
  const index = extensions.findIndex(isWorkloadDiscovery)
  if (index < 0) return null
  const proto = (extensions[index]!.typed_config?.message ?? {}) as Proto
  const at = FieldPath.root().field('bootstrap_extensions').index(index).field('typed_config')
  support.check(proto, at, [])
  const source = proto.config_source ?? {}
  if (source.ads !== undefined) return source
  const advice = 'set `ads: {}` and dynamic_resources.ads_config of type DELTA_GRPC'
  const text = 'workloads can be discovered by ADS only'
  throw new ConfigError('CONFIG_UNSUPPORTED', at.field('config_source'), text, { advice })
}

/**
 * The workloads of an ambient mesh by address, for whoever looks for the peer of a connection (istio/proxy
 * source/extensions/common/workload_discovery): everything is subscribed to, and every worker has everything.
 */
export class WorkloadDiscovery implements UpdateHandler {
  readonly #batcher: Batcher
  readonly #log: Log
  readonly #stats: StatsStore
  readonly #max: number
  /** Addresses of each, by uid. */
  readonly #workloads = new Map<string, readonly string[]>()
  readonly #byAddress = new Map<string, { readonly uid: string; readonly fields: WorkloadFields }>()
  #warned = false

  constructor(batcher: Batcher, log: Log, stats: StatsStore, max: number = MAX_ADDRESSES) {
    this.#batcher = batcher
    this.#log = log
    this.#stats = stats
    this.#max = max
  }

  /** For a worker that starts. */
  all(): PublishedWorkload[] {
    return [...this.#byAddress].map(([address, { fields }]) => ({ address, fields }))
  }

  /** Throws WireError, and has then changed nothing. */
  onUpdate({ resources, removed }: ResourceUpdate): void {
    // The incremental protocol names what it removes by the uid, state of the world does not.
    const workloads = resources.map(({ bytes, name }) => {
      const workload = readWorkload(bytes)
      return { workload, uid: removed === undefined ? workload.uid : name }
    })
    const known = new Set(workloads.map(({ uid }) => uid))
    for (const uid of removed ?? [...this.#workloads.keys()].filter(uid => !known.has(uid))) this.#remove(uid)
    for (const { workload, uid } of workloads) this.#put(uid, workload)
    this.#stats.gauge(`${WORKLOAD_STATS}total`).set(this.#byAddress.size)
  }

  /** Telemetry alone depends on it: nothing waits. */
  onUnavailable(): void {}

  #put(uid: string, workload: Workload): void {
    const { addresses } = workload
    const before = this.#workloads.get(uid)
    if (before !== undefined) for (const address of before) if (!addresses.includes(address)) this.#drop(address, uid)
    this.#workloads.set(uid, addresses)
    const fields = fieldsOf(workload)
    for (const address of addresses) {
      if (this.#byAddress.size >= this.#max && !this.#byAddress.has(address)) {
        this.#warnOnce()
        continue
      }
      // The newest has it: addresses are used again, and the end of the one before may be told later.
      this.#byAddress.set(address, { uid, fields })
      this.#batcher.workload({ address, fields })
    }
  }

  #remove(uid: string): void {
    for (const address of this.#workloads.get(uid) ?? []) this.#drop(address, uid)
    this.#workloads.delete(uid)
  }

  #drop(address: string, uid: string): void {
    if (this.#byAddress.get(address)?.uid !== uid) return
    this.#byAddress.delete(address)
    this.#batcher.removeWorkload(address)
  }

  #warnOnce(): void {
    if (this.#warned) return
    this.#warned = true
    this.#log.warning(`workload discovery: more than ${this.#max} addresses, the others stay unknown`)
  }
}

/** As `convert` of the source has it: the canonical service is the application, and its revision the version. */
function fieldsOf(w: Workload): WorkloadFields {
  return {
    instance: w.name,
    cluster: w.clusterId,
    namespace: w.namespace,
    workload: w.workloadName,
    canonicalName: w.canonicalName,
    canonicalRevision: w.canonicalRevision,
    app: w.canonicalName,
    version: w.canonicalRevision,
    type: w.workloadType,
    identity: `spiffe://${w.trustDomain}/ns/${w.namespace}/sa/${w.serviceAccount}`,
    region: w.region,
    zone: w.zone,
    labels: [],
  }
}
