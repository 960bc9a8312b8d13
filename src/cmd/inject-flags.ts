import { readFileSync } from 'node:fs'
import type { InjectionSettings } from '../lab/inject/injection.ts'
import { parseMeshConfig } from '../lab/inject/mesh-config.ts'
import { parseValues } from '../lab/inject/values.ts'
import { FlagError, type FlagSpec, type Flags } from './flags.ts'

/** What an installation injects; for `remora inject` and `remora injector` alike. Names as istioctl kube-inject has them. */
export const SETTINGS_FLAGS: readonly FlagSpec[] = [
  {
    name: 'valuesFile',
    kind: 'string',
    default: '',
    usage: "Helm values of Istio's istiod chart (key `values` of ConfigMap istio-sidecar-injector)",
  },
  {
    name: 'meshConfigFile',
    kind: 'string',
    default: '',
    usage: "Istio's MeshConfig (key `mesh` of ConfigMap istio)",
  },
  { name: 'revision', kind: 'string', default: '', usage: 'revision of Istio that the proxies belong to' },
  {
    name: 'image',
    kind: 'string',
    default: '',
    usage: 'image of proxy and init container, instead of that of the values',
    env: ['REMORA_IMAGE'],
  },
  {
    name: 'nativeSidecars',
    kind: 'string',
    default: 'auto',
    usage: 'true, false or auto: init containers that stay (Kubernetes 1.29)',
    env: ['ENABLE_NATIVE_SIDECARS'],
  },
  {
    name: 'compliancePolicy',
    kind: 'string',
    default: '',
    usage: "Istio's compliance policy, such as fips-140-3",
    env: ['COMPLIANCE_POLICY'],
  },
]

export type NativeSidecars = 'true' | 'false' | 'auto'

export function nativeSidecars(flags: Flags): NativeSidecars {
  const value = flags.string('nativeSidecars')
  if (value === 'true' || value === 'false' || value === 'auto') return value
  throw new FlagError(`invalid argument "${value}" for --nativeSidecars: expected true, false or auto`)
}

/** Reads the files of the flags. `auto` without a cluster to ask is false, as for istioctl. Throws FlagError, InjectionError. */
export function settingsOf(flags: Flags): InjectionSettings {
  const values = parseValues(readNamed(flags, 'valuesFile'))
  const image = flags.string('image')
  const { global } = values
  const own = { ...global, proxy: { ...global.proxy, image }, proxy_init: { ...global.proxy_init, image } }
  if (image !== '' && !image.includes('/')) {
    throw new FlagError(
      `invalid argument "${image}" for --image: expected a reference with a /, such as localhost/remora:dev`,
    )
  }
  return {
    values: image === '' ? values : { ...values, global: own },
    mesh: parseMeshConfig(readNamed(flags, 'meshConfigFile')),
    revision: flags.string('revision') || values.revision,
    nativeSidecar: nativeSidecars(flags) === 'true',
    compliancePolicy: flags.string('compliancePolicy'),
  }
}

function readNamed(flags: Flags, name: string): string {
  const file = flags.string(name)
  if (file === '') return ''
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new FlagError(`--${name}: ${(error as Error).message}`)
  }
}

/** The lines of a help text. */
export function describe(specs: readonly FlagSpec[]): string {
  return specs
    .map(spec => `  ${spec.short === undefined ? '   ' : `-${spec.short},`} --${spec.name.padEnd(18)} ${spec.usage}\n`)
    .join('')
}
