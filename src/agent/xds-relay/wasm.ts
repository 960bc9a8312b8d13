import type { AnyMessage } from '../../config/any.ts'
import { decodeMessage } from '../../config/binary.ts'
import { encodeAny, encodeMessage } from '../../config/binary-writer.ts'
import { FieldPath } from '../../config/field-path.ts'
import { decodeAny } from '../../xds/discovery-wire.ts'
import { Logger } from '../log.ts'
import type { WasmModules } from '../wasm/module-cache.ts'

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
    readonly vm_config?: VmConfig
  }
}

interface VmConfig {
  readonly code?: {
    readonly local?: object
    readonly remote?: {
      /** `timeout` in milliseconds. */
      readonly http_uri?: { readonly uri?: string; readonly timeout?: number }
      readonly sha256?: string
    }
  }
  readonly environment_variables?: {
    readonly host_env_keys?: readonly string[]
    readonly key_values?: Readonly<Record<string, string>>
  }
}

/** What istiod tells the agent by the environment of the module, which is not to see it. */
const FOR_THE_AGENT = 'ISTIO_META_'
const SECRET_VARIABLE = 'ISTIO_META_WASM_IMAGE_PULL_SECRET'
const POLICY_VARIABLE = 'ISTIO_META_WASM_IMAGE_PULL_POLICY'
const VERSION_VARIABLE = 'ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION'
const TIMEOUT_MS = 5000

/** A resource of ECDS whose module has to be fetched. */
export interface RemoteWasm {
  readonly name: string
  readonly extension: ExtensionConfig
  readonly isHttp: boolean
  readonly wasm: Wasm
}

const log = new Logger('wasm')

/**
 * What has to be fetched for one resource of ECDS, an Any; null for modules in local files and all other extensions, which stay. Throws
 * Error when the resource cannot be read, which is to be a NACK.
 */
export function remoteWasmOf(resource: Uint8Array, count: (result: string) => void): RemoteWasm | null {
  try {
    const outer = decodeAny(resource)
    if (outer.typeUrl !== EXTENSION_CONFIG) {
      throw new Error(
        `failed to unmarshal extension config resource: mismatched message type: got "${outer.typeUrl}" want "${EXTENSION_CONFIG}"`,
      )
    }
    const found = remoteWasm(outer.bytes)
    if (found === null) count('no_remote_load')
    return found
  } catch (error) {
    count('unmarshal_failure')
    log.error(`error in applying failopen rbac config: ${(error as Error).message}`)
    throw error
  }
}

/**
 * The resource, an Any, with its module in a file; or, when it cannot be had, with an RBAC filter of the same name that allows or denies
 * everything, as the failure policy says (Istio pkg/wasm/convert.go). Never rejects.
 */
export async function localWasm(
  remote: RemoteWasm,
  modules: WasmModules,
  count: (result: string) => void,
): Promise<Uint8Array> {
  const { name, extension, isHttp, wasm } = remote
  try {
    const vm_config = await localVm(remote, modules)
    const message = { ...wasm, config: { ...wasm.config, vm_config } }
    const typed_config = { type_url: isHttp ? HTTP_WASM : NETWORK_WASM, message }
    const local = encodeExtension({ ...extension, typed_config })
    count('success')
    return local
  } catch (error) {
    count(error instanceof NoRemoteFetchHint ? 'miss_remote_fetch_hint' : 'fetch_failure')
    const open = failsOpen(wasm)
    log.error(
      `error in converting the wasm config to local: ${(error as Error).message}. applying ${open ? 'allow' : 'deny'} RBAC filter`,
    )
    return rbac(name, isHttp, open)
  }
}

class NoRemoteFetchHint extends Error {}

async function localVm({ name, wasm }: RemoteWasm, modules: WasmModules): Promise<object> {
  const { code, environment_variables: environment, ...rest } = wasm.config?.vm_config ?? {}
  const variables = environment?.key_values ?? {}
  const pullSecret = variables[SECRET_VARIABLE] ?? null
  // Istiod did not find the one that the plugin names.
  if (pullSecret === '') {
    throw new Error(`cannot fetch Wasm module ${wasm.config?.name}: missing image pulling secret`)
  }
  const { http_uri: uri, sha256 = '' } = code?.remote ?? {}
  if (uri === undefined) {
    throw new NoRemoteFetchHint(`wasm remote fetch does not have httpUri specified for config ${wasm.config?.name}`)
  }
  const filename = await modules
    .get({
      url: uri.uri ?? '',
      // Istiod's word for none.
      checksum: sha256 === 'nil' ? '' : sha256,
      resourceName: name,
      resourceVersion: variables[VERSION_VARIABLE] ?? '',
      timeoutMs: uri.timeout ?? TIMEOUT_MS,
      pullSecret,
      pullPolicy: variables[POLICY_VARIABLE] ?? '',
    })
    .catch((error: Error) => {
      throw new Error(`cannot fetch Wasm module ${uri.uri}: ${error.message}`)
    })
  const own = Object.entries(variables).filter(([variable]) => !variable.startsWith(FOR_THE_AGENT))
  const { host_env_keys = [] } = environment ?? {}
  const environment_variables = { host_env_keys, key_values: Object.fromEntries(own) }
  return {
    ...rest,
    code: { local: { filename } },
    ...(own.length > 0 || host_env_keys.length > 0 ? { environment_variables } : {}),
  }
}

function remoteWasm(bytes: Uint8Array): RemoteWasm | null {
  // Descriptors are loaded only when a module may be in it.
  const inner = decodeAny(decodeAny(bytes).bytes).typeUrl
  if (inner === '') throw new Error('typed extension config does not contain any typed config')
  if (inner !== HTTP_WASM && inner !== NETWORK_WASM && inner !== TYPED_STRUCT) return null
  // The proxy may be newer than the descriptors.
  const { message: extension } = decodeMessage<ExtensionConfig>(
    EXTENSION_CONFIG.slice(PREFIX.length),
    bytes,
    FieldPath.root(),
    { keepUnknownFields: true },
  )
  const type = extension.typed_config?.type_url ?? ''
  if (type !== HTTP_WASM && type !== NETWORK_WASM) return null
  const wasm = extension.typed_config?.message as Wasm
  const code = wasm.config?.vm_config?.code
  if (code?.remote !== undefined) {
    return { name: extension.name ?? '', extension, isHttp: type === HTTP_WASM, wasm }
  }
  if (code?.local !== undefined) return null
  throw new Error(
    `no remote and local load found in Wasm ${type === HTTP_WASM ? 'HTTP' : 'Network'} filter ${extension.name}`,
  )
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
  return encodeExtension({ name, typed_config: { type_url, message } })
}

function encodeExtension(extension: ExtensionConfig): Uint8Array {
  return encodeAny({
    type_url: EXTENSION_CONFIG,
    value: encodeMessage(EXTENSION_CONFIG.slice(PREFIX.length), extension),
  })
}
