import { ConfigError } from '../base/errors.ts'
import { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import type { StatsStore } from '../stats/store.ts'

type LayeredRuntime = envoy.config.bootstrap.v3.LayeredRuntime
type ConfigSource = envoy.config.core.v3.ConfigSource

/** A layer that comes by RTDS. */
export interface DiscoveredLayer {
  /** Of the resource. */
  readonly name: string
  readonly source: ConfigSource
  readonly at: FieldPath
  /** Takes the place of what it had. Throws ConfigError for values that are none, and changes nothing then. */
  replace(values: Readonly<Record<string, unknown>>): void
}

/** One layer as /runtime shows it: flattened keys, values as text. */
export interface RuntimeLayer {
  readonly name: string
  readonly kind: 'static' | 'admin' | 'discovered'
  readonly values: ReadonlyMap<string, string>
}

/**
 * Runtime layers on main: static ones from the bootstrap, those that are discovered, one that /runtime_modify writes. Later layers
 * win. Disk layers are refused: they would silently not apply.
 */
export class RuntimeLoader {
  readonly #layers: { name: string; kind: RuntimeLayer['kind']; values: Map<string, string> }[] = []
  /** Those that are to be followed. */
  readonly discovered: DiscoveredLayer[] = []
  readonly #stats: StatsStore
  readonly #changed: (entries: readonly (readonly [string, string])[]) => void

  /** `changed` gets the merged entries after every change. Throws ConfigError. */
  constructor(
    config: LayeredRuntime | undefined,
    stats: StatsStore,
    changed: (entries: readonly (readonly [string, string])[]) => void,
  ) {
    this.#stats = stats
    this.#changed = changed
    const at = FieldPath.root().field('layered_runtime').field('layers')
    let admins = 0
    for (const [i, layer] of (config?.layers ?? []).entries()) {
      const name = layer.name ?? ''
      if (this.#layers.some(l => l.name === name)) {
        throw new ConfigError('CONFIG_DUPLICATE', at.index(i), `Duplicate layer name: ${name}`)
      }
      if (layer.static_layer !== undefined) {
        const values = new Map<string, string>()
        flatten(layer.static_layer as Record<string, unknown>, '', values)
        this.#layers.push({ name, kind: 'static', values })
      } else if (layer.admin_layer !== undefined) {
        if (++admins > 1) {
          throw new ConfigError(
            'CONFIG_INVALID',
            at.index(i),
            'Too many admin layers specified in LayeredRuntime, at most one may be specified',
          )
        }
        this.#layers.push({ name, kind: 'admin', values: new Map() })
      } else if (layer.rtds_layer !== undefined) {
        this.#discover(name, layer.rtds_layer, at.index(i).field('rtds_layer'))
      } else {
        throw new ConfigError('CONFIG_UNSUPPORTED', at.index(i).field('disk_layer'), 'disk_layer is not supported', {
          advice: 'use a static_layer, an rtds_layer, or an admin_layer and POST /runtime_modify',
        })
      }
    }
    this.#countLoad()
  }

  get layers(): readonly RuntimeLayer[] {
    return this.#layers
  }

  /** Merged view: pairs of key and value. */
  entries(): [string, string][] {
    const merged = new Map<string, string>()
    for (const layer of this.#layers) for (const [key, value] of layer.values) merged.set(key, value)
    return [...merged]
  }

  /** POST /runtime_modify; an empty value takes the override away. False: there is no admin layer. */
  modify(values: readonly (readonly [string, string])[]): boolean {
    const admin = this.#layers.find(l => l.kind === 'admin')
    if (admin === undefined) return false
    for (const [key, value] of values) {
      if (value === '') admin.values.delete(key)
      else admin.values.set(key, value)
    }
    this.reload()
    return true
  }

  /** Everybody gets the values as they are now. */
  reload(): void {
    this.#countLoad()
    this.#changed(this.entries())
  }

  #discover(name: string, proto: envoy.config.bootstrap.v3.RuntimeLayer_RtdsLayer, at: FieldPath): void {
    const layer = { name, kind: 'discovered' as const, values: new Map<string, string>() }
    this.#layers.push(layer)
    this.discovered.push({
      name: proto.name ?? '',
      source: proto.rtds_config ?? {},
      at: at.field('rtds_config'),
      replace: values => {
        const next = new Map<string, string>()
        flatten(values, '', next)
        layer.values = next
        this.reload()
      },
    })
  }

  #countLoad(): void {
    this.#stats.counter('runtime.load_success').inc()
    // Of disk layers, which there are none of.
    this.#stats.counter('runtime.override_dir_not_exists').inc()
    this.#stats.gauge('runtime.num_keys').set(this.entries().length)
    this.#stats.gauge('runtime.num_layers').set(this.#layers.length)
    const admin = this.#layers.find(l => l.kind === 'admin')
    this.#stats.gauge('runtime.admin_overrides_active').set(admin !== undefined && admin.values.size > 0 ? 1 : 0)
  }
}

/** Nested structs become dotted keys; a struct with `numerator` or `denominator` is one value (a FractionalPercent). */
function flatten(struct: Readonly<Record<string, unknown>>, prefix: string, out: Map<string, string>): void {
  for (const [key, value] of Object.entries(struct)) {
    const name = prefix === '' ? key : `${prefix}.${key}`
    if (value === null || value === undefined) continue
    if (typeof value === 'object' && !Array.isArray(value)) {
      if ('numerator' in value || 'denominator' in value) out.set(name, JSON.stringify(value))
      else flatten(value as Record<string, unknown>, name, out)
    } else if (Array.isArray(value)) {
      throw new ConfigError('CONFIG_INVALID', name, `Invalid runtime entry value for ${name}`)
    } else out.set(name, String(value))
  }
}
