import { existsSync, statSync } from 'node:fs'
import { stringify } from 'yaml'
import { Cluster } from '../lab/inject/cluster.ts'
import type { InjectionSettings } from '../lab/inject/injection.ts'
import { injectorManifests } from '../lab/inject/injector-manifests.ts'
import { startInjector } from '../lab/inject/injector-server.ts'
import { InjectionError } from '../lab/inject/kubernetes.ts'
import { makeServingCertificate } from '../lab/inject/serving-certificate.ts'
import { YAML_1_1 } from '../lab/inject/yaml-dialect.ts'
import { FlagError, type FlagSpec, type Flags, parseFlags } from './flags.ts'
import { describe, nativeSidecars, SETTINGS_FLAGS, settingsOf } from './inject-flags.ts'

const FLAGS: readonly FlagSpec[] = [
  {
    name: 'manifests',
    kind: 'bool',
    default: 'false',
    usage: 'print what kubectl apply needs, with new certificates, and end',
  },
  { name: 'namespace', kind: 'string', default: 'istio-system', usage: 'with --manifests: where it is installed' },
  { name: 'host', kind: 'string', default: '::', usage: 'address to listen on' },
  { name: 'port', kind: 'int', default: '9443', usage: 'port to listen on' },
  { name: 'certFile', kind: 'string', default: '/etc/tls/tls.crt', usage: 'serving certificate, PEM' },
  { name: 'keyFile', kind: 'string', default: '/etc/tls/tls.key', usage: 'its key, PEM' },
  { name: 'openshift', kind: 'bool', default: 'false', usage: "the proxy's user is the last of the namespace's range" },
  ...SETTINGS_FLAGS,
]

/** `remora injector`: the mutating admission webhook. Returns the exit status; throws FlagError. */
export async function injector(argv: readonly string[]): Promise<number> {
  if (argv.includes('--help') || argv.includes('-h')) {
    process.stdout.write(`Usage: remora injector [options]\n\n${describe(FLAGS)}`)
    return 0
  }
  const flags = parseFlags(FLAGS, argv, process.env)
  if (flags.operands.length > 0) throw new FlagError(`unexpected argument "${flags.operands[0]}"`)
  try {
    return flags.bool('manifests') ? printManifests(flags) : await run(argv, flags)
  } catch (error) {
    if (!(error instanceof InjectionError)) throw error
    process.stderr.write(`Error: ${error.message}\n`)
    return 1
  }
}

function printManifests(flags: Flags): number {
  const image = flags.string('image')
  if (image === '') throw new FlagError('--manifests needs --image, the image of the proxy and of the injector itself')
  const namespace = flags.string('namespace')
  const service = `remora-injector.${namespace}.svc`
  const certificate = makeServingCertificate([service, `${service}.cluster.local`])
  const manifests = injectorManifests({ namespace, image, revision: flags.string('revision'), certificate })
  for (const manifest of manifests) process.stdout.write(`---\n${stringify(manifest, { ...YAML_1_1, lineWidth: 0 })}`)
  return 0
}

async function run(argv: readonly string[], flags: Flags): Promise<number> {
  process.title = 'remora injector'
  const log = (line: string): void => void process.stdout.write(`${new Date().toISOString()} ${line}\n`)
  const cluster = Cluster.ofPod(process.env)
  const auto = nativeSidecars(flags) === 'auto'
  if (auto && cluster === undefined) log('not in a cluster: --nativeSidecars auto is false')
  if (flags.bool('openshift') && cluster === undefined)
    throw new FlagError('--openshift needs the API server, and this is not in a cluster')
  const server = await startInjector({
    host: flags.string('host'),
    port: flags.int('port'),
    certFile: flags.string('certFile'),
    keyFile: flags.string('keyFile'),
    settings: settingsReader(argv, log),
    autoNative: auto,
    openshift: flags.bool('openshift'),
    cluster,
    log,
  })
  log(`listening on ${flags.string('host')} port ${server.port}`)
  await new Promise<void>(resolve => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve())
  })
  await server.close()
  return 0
}

/** Mounted ConfigMaps change and appear while the injector runs; what cannot be read leaves the last good settings. */
function settingsReader(argv: readonly string[], log: (line: string) => void): () => InjectionSettings {
  const flags = parseFlags(FLAGS, argv, process.env)
  const files = ['valuesFile', 'meshConfigFile'].map(name => flags.string(name)).filter(file => file !== '')
  const stamp = (): string => files.map(file => (existsSync(file) ? statSync(file).mtimeMs : 'absent')).join()
  const read = (): InjectionSettings => {
    // An optional ConfigMap that is not there: the defaults.
    const absent = ['valuesFile', 'meshConfigFile'].filter(
      name => flags.string(name) !== '' && !existsSync(flags.string(name)),
    )
    return settingsOf(
      absent.length === 0 ? flags : parseFlags(FLAGS, [...argv, ...absent.map(name => `--${name}=`)], process.env),
    )
  }
  let current = read()
  let seen = stamp()
  return () => {
    const now = stamp()
    if (now === seen) return current
    seen = now
    try {
      current = read()
      log('settings reloaded')
    } catch (error) {
      log(`settings not reloaded: ${(error as Error).message}`)
    }
    return current
  }
}
