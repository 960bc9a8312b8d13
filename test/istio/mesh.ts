import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { missingForNamespaces } from '../../src/lab/network.ts'
import type { PushName } from '../harness/istio-pushes.ts'
import { CertificateAuthority } from '../harness/toy-ca.ts'
import { Cluster } from './cluster.ts'
import { type ControlPlaneOptions, ReplayedControlPlane } from './control-plane.ts'
import { type InterceptionMode, Pod, type PodOptions } from './pod.ts'
import { serviceAccountToken } from './tokens.ts'

/** The pods of the recorded cluster. */
const PODS = {
  sleep: { address: '10.77.0.10', account: 'sleep', push: 'default-sleep' },
  httpbin: { address: '10.77.0.20', account: 'httpbin', push: 'default-httpbin', labels: { version: 'v1' } },
  // Was only an address in the recorded cluster: it gets sleep's configuration, whose inbound side is that of any plain pod.
  echo: { address: '10.77.0.40', account: 'echo', push: 'default-sleep', labels: { version: 'v1' } },
  gw: { address: '10.77.0.5', account: 'gateway', push: 'default-gw', type: 'router' },
  waypoint: { address: '10.77.0.50', account: 'waypoint', push: 'waypoint', type: 'waypoint' },
  // Version 2 of httpbin, and what collects telemetry and decides on requests: without a sidecar.
  'httpbin-v2': { address: '10.77.0.21', account: 'httpbin' },
  observability: { address: '10.77.0.30', account: 'observability' },
  'ext-authz': { address: '10.77.0.31', account: 'ext-authz' },
} as const satisfies Readonly<Record<string, Omit<PodOptions, 'name'> & { push?: PushName }>>

export type PodName = keyof typeof PODS

/** httpbin's, and echo's. */
export const HTTPBIN = '10.96.0.20'
export const WAYPOINT = '10.77.0.50'
export const ECHO = '10.96.1.1'
/** Outside of the mesh: the node answers for it. */
export const OUTSIDE = '192.0.2.10'

export interface MeshOptions {
  readonly pods: readonly PodName[]
  readonly plane?: Partial<ControlPlaneOptions>
  /** Without a sidecar: their node's ztunnel carries their traffic. */
  readonly ambient?: readonly PodName[]
  /** Instead of the pod's own. */
  readonly pushes?: Partial<Record<PodName, PushName>>
  /** More variables for every agent. */
  readonly env?: Readonly<Record<string, string>>
  readonly podEnv?: Partial<Record<PodName, Readonly<Record<string, string>>>>
  /** How traffic gets to the proxies; default REDIRECT. */
  readonly modes?: Partial<Record<PodName, InterceptionMode>>
  /** Instead of a good one. */
  readonly tokens?: Partial<Record<PodName, string>>
  /** More of ProxyConfig. */
  readonly config?: object
  /** Some tests look at pods that are not ready yet. */
  readonly waitUntilReady?: boolean
  /** Before the pods start. */
  readonly prepare?: (mesh: Mesh) => void
}

export class Mesh {
  readonly authority: CertificateAuthority
  readonly plane: ReplayedControlPlane
  /** Not in the mesh: clients and servers elsewhere, at 10.77.0.1 and OUTSIDE. */
  readonly outside: Pod
  readonly #folder = mkdtempSync(join(tmpdir(), 'remora-istio-'))
  readonly #cluster: Cluster
  readonly #pods = new Map<PodName, Pod>()

  constructor(options: MeshOptions) {
    this.authority = options.plane?.authority ?? new CertificateAuthority()
    this.#cluster = new Cluster(['10.96.0.2', OUTSIDE])
    this.outside = new Pod(this.#cluster.node, this.#folder, { name: 'outside', address: OUTSIDE, account: 'none' })
    const pushes = new Map<string, PushName>()
    for (const name of options.pods) {
      const pod: Omit<PodOptions, 'name'> = PODS[name]
      const folder = join(this.#folder, name)
      mkdirSync(folder)
      const mode = options.modes?.[name] ?? 'REDIRECT'
      this.#pods.set(name, new Pod(this.#cluster.add(name, pod.address), folder, { name, mode, ...pod }))
      const push = pushOf(name, options)
      if (push !== undefined) pushes.set(name, push)
    }
    chmodSync(this.#folder, 0o755)
    // A test that throws while it starts has no teardown.
    process.on('exit', this.#remove)
    this.plane = new ReplayedControlPlane({ authority: this.authority, pushes, ...options.plane })
  }

  readonly pod = (name: PodName): Pod => this.#pods.get(name)!

  async start(options: MeshOptions): Promise<void> {
    const { config = {}, waitUntilReady = true } = options
    options.prepare?.(this)
    await this.plane.listen('10.77.0.1', 15012)
    const starting = [...this.#pods].map(async ([name, pod]) => {
      const known: Omit<PodOptions, 'name'> = PODS[name]
      if (pushOf(name, options) === undefined) return
      if ((known.type ?? 'sidecar') === 'sidecar' && options.modes?.[name] !== 'NONE') await pod.capture()
      pod.write('var/run/secrets/istio/root-cert.pem', this.authority.rootPem)
      pod.write('var/run/secrets/tokens/istio-token', options.tokens?.[name] ?? serviceAccountToken(known.account))
      pod.start({ ...options.env, ...options.podEnv?.[name] }, config)
      if (waitUntilReady) await pod.ready()
    })
    await Promise.all(starting)
  }

  async stop(): Promise<void> {
    await Promise.all([this.outside, ...this.#pods.values()].map(pod => pod.stop()))
    this.plane.close()
    this.#remove()
    process.off('exit', this.#remove)
  }

  readonly #remove = (): void => {
    for (const pod of this.#pods.values()) pod.kill()
    this.#cluster.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

function pushOf(name: PodName, { ambient = [], pushes }: MeshOptions): PushName | undefined {
  if (ambient.includes(name)) return undefined
  const { push }: Omit<PodOptions, 'name'> & { readonly push?: PushName } = PODS[name]
  return pushes?.[name] ?? push
}

/** Pods up and ready; ends the test file where they cannot be had. */
export async function startMesh(options: MeshOptions): Promise<Mesh> {
  const missing = missingForNamespaces() ?? missingTools()
  if (missing !== undefined) {
    process.stderr.write(`\n*** SKIPPED: the mesh of recorded pushes is not tested here: ${missing}\n\n`)
    t.plan(0, missing)
    process.exit(0)
  }
  // Waits for processes, on a machine that may be busy.
  t.setTimeout(240_000)
  // In a clone the first start makes the bundle: as this user, which may write there.
  spawnSync(join(import.meta.dirname, '../../bin/pilot-agent'), ['version'])
  const mesh = new Mesh(options)
  t.teardown(() => mesh.stop())
  await mesh.start(options)
  return mesh
}

function missingTools(): string | undefined {
  for (const tool of ['iptables', 'setpriv']) {
    if (spawnSync(tool, ['--version']).error !== undefined) return `\`${tool}\` is not installed`
  }
  return undefined
}
