import type { AnyMessage } from '../../config/any.ts'
import { decodeMessage } from '../../config/binary.ts'
import { encodeAny, encodeMessage } from '../../config/binary-writer.ts'
import { decodeAny } from '../../xds/discovery-wire.ts'
import { Logger } from '../log.ts'

const PREFIX = 'type.googleapis.com/'
const EXTENSION_CONFIG = `${PREFIX}envoy.config.core.v3.TypedExtensionConfig`
const HTTP_WASM = `${PREFIX}envoy.extensions.filters.http.wasm.v3.Wasm`
const NETWORK_WASM = `${PREFIX}envoy.extensions.filters.network.wasm.v3.Wasm`
const TYPED_STRUCT = `${PREFIX}udpa.type.v1.TypedStruct`

interface ExtensionConfig {
  readonly name?: string
  readonly typed_config?: AnyMessage
}

interface Wasm {
  readonly config?: {
    readonly name?: string
    readonly fail_open?: boolean
    readonly failure_policy?: string | number
    readonly vm_config?: {
      readonly code?: { readonly local?: object; readonly remote?: { readonly http_uri?: object } }
      readonly environment_variables?: { readonly key_values?: Readonly<Record<string, string>> }
    }
  }
}

/** An empty secret says that istiod did not find the one that the plugin names. */
const SECRET_VARIABLE = 'ISTIO_META_WASM_IMAGE_PULL_SECRET'

const log = new Logger('wasm')

/**
 * One resource of ECDS, an Any. A Wasm module that has to be fetched is replaced by an RBAC filter of the same name that allows or
 * denies everything, as Istio's agent does when a download fails: this one cannot download. Modules in local files and all other
 * extensions stay (null). Throws Error when the resource cannot be read, which is to be a NACK.
 */
export function withoutRemoteWasm(resource: Uint8Array, count: (result: string) => void): Uint8Array | null {
  try {
    const outer = decodeAny(resource)
    if (outer.typeUrl !== EXTENSION_CONFIG) {
      throw new Error(
        `failed to unmarshal extension config resource: mismatched message type: got "${outer.typeUrl}" want "${EXTENSION_CONFIG}"`,
      )
    }
    const found = remoteWasm(outer.bytes)
    if (found === null) {
      count('no_remote_load')
      return null
    }
    const { name, isHttp, wasm } = found
    const { reason, result } = whyNotLoaded(wasm)
    const open = failsOpen(wasm)
    count(result)
    log.error(
      `error in converting the wasm config to local: ${reason}. applying ${open ? 'allow' : 'deny'} RBAC filter`,
    )
    return rbac(name, isHttp, open)
  } catch (error) {
    count('unmarshal_failure')
    log.error(`error in applying failopen rbac config: ${(error as Error).message}`)
    throw error
  }
}

function remoteWasm(bytes: Uint8Array): { name: string; isHttp: boolean; wasm: Wasm } | null {
  // Descriptors are loaded only when a module may be in it.
  const inner = decodeAny(decodeAny(bytes).bytes).typeUrl
  if (inner === '') throw new Error('typed extension config does not contain any typed config')
  if (inner !== HTTP_WASM && inner !== NETWORK_WASM && inner !== TYPED_STRUCT) return null
  const config = decodeMessage<ExtensionConfig>(EXTENSION_CONFIG.slice(PREFIX.length), bytes).message
  const type = config.typed_config?.type_url ?? ''
  if (type !== HTTP_WASM && type !== NETWORK_WASM) return null
  const wasm = config.typed_config?.message as Wasm
  const code = wasm.config?.vm_config?.code
  if (code?.remote !== undefined) return { name: config.name ?? '', isHttp: type === HTTP_WASM, wasm }
  if (code?.local !== undefined) return null
  throw new Error(
    `no remote and local load found in Wasm ${type === HTTP_WASM ? 'HTTP' : 'Network'} filter ${config.name}`,
  )
}

function whyNotLoaded({ config }: Wasm): { reason: string; result: string } {
  const secret = config?.vm_config?.environment_variables?.key_values?.[SECRET_VARIABLE]
  if (secret === '') {
    return {
      reason: `cannot fetch Wasm module ${config?.name}: missing image pulling secret`,
      result: 'fetch_failure',
    }
  }
  if (config?.vm_config?.code?.remote?.http_uri === undefined) {
    return {
      reason: `wasm remote fetch does not have httpUri specified for config ${config?.name}`,
      result: 'miss_remote_fetch_hint',
    }
  }
  return {
    reason: `cannot fetch Wasm module ${config.name}: remote modules are not supported, use a local file`,
    result: 'fetch_failure',
  }
}

function failsOpen({ config }: Wasm): boolean {
  const policy = config?.failure_policy ?? 0
  if (policy === 'FAIL_OPEN' || policy === 3) return true
  return (policy === 'UNSPECIFIED' || policy === 0) && config?.fail_open === true
}

/** RBAC without rules allows all; with empty rules it denies all. */
function rbac(name: string, isHttp: boolean, open: boolean): Uint8Array {
  const rules = open ? {} : { rules: {} }
  const prefix = open ? 'wasm-default-allow' : 'wasm-default-deny'
  const message = { ...rules, ...(isHttp ? { rules_stat_prefix: prefix } : { stat_prefix: prefix }) }
  const type_url = `${PREFIX}envoy.extensions.filters.${isHttp ? 'http' : 'network'}.rbac.v3.RBAC`
  return encodeAny({
    type_url: EXTENSION_CONFIG,
    value: encodeMessage(EXTENSION_CONFIG.slice(PREFIX.length), { name, typed_config: { type_url, message } }),
  })
}
