import { chmodSync, chownSync, mkdirSync } from 'node:fs'
import { dirname, extname, join } from 'node:path'
import { Child } from './child.ts'
import { inNamespace } from './network.ts'
import type { Pod, Topology } from './topology.ts'
import { hasSetpriv, PROXY_UID, proxyUser, userOptions } from './users.ts'

export interface PodsOptions {
  readonly topology: Topology
  /** The lab's working folder; agents work in `<folder>/<pod>`, their output goes to `<logs>/<pod>.log`. */
  readonly folder: string
  readonly logs: string
  readonly xdsSocket: string
  /** Binary of the proxy; empty for this package's own. */
  readonly proxyBinary: string
  readonly onEvent: (message: string) => void
  /** A sidecar or application ended by itself. */
  readonly onCrash: () => void
}

/** nobody: any user but the proxy's is captured. */
const APP_UID = 65534
const EXCLUDED_PORTS = '15090,15021,15020'

/** Starts and ends the processes of all pods. */
export class Pods {
  readonly #options: PodsOptions
  readonly #children: Child[] = []
  #stopped = false
  readonly #proxyUser: readonly string[]

  constructor(options: PodsOptions) {
    this.#options = options
    mkdirSync(options.logs, { recursive: true })
    // Proxies and applications of other users write here.
    chmodSync(options.folder, 0o755)
    chmodSync(options.logs, 0o777)
    const { topology, proxyBinary } = options
    const programs = [process.execPath, process.argv[1] as string, ...(proxyBinary === '' ? [] : [proxyBinary])]
    this.#proxyUser = topology.mode === 'explicit' ? [] : proxyUser(programs)
  }

  /** The application, as a user whose traffic is captured. `pipe` for one that is talked to. */
  startApplication(pod: Pod, app: string, output: 'log' | 'pipe'): Child {
    const version = pod.name.replace(/^.*-/, '')
    return this.#start(`${pod.name} application`, {
      pod,
      user: this.#options.topology.mode === 'explicit' ? [] : userOptions(APP_UID, APP_UID),
      argv: [...remoraCommand(), 'lab-app', app, version, pod.appHost, String(pod.appPort)],
      env: process.env,
      output: output === 'pipe' ? 'pipe' : join(this.#options.logs, `${pod.name}.app.log`),
      restart: output !== 'pipe',
    })
  }

  /** pilot-agent with its proxy, started again whenever either crashes. */
  startSidecar(pod: Pod): Child {
    const { topology, xdsSocket, logs, proxyBinary } = this.#options
    const folder = join(this.#options.folder, pod.name)
    mkdirSync(folder, { recursive: true })
    if (this.#proxyUser.length > 0) chownSync(folder, PROXY_UID, PROXY_UID)
    return this.#start(`${pod.name} sidecar`, {
      pod,
      user: this.#proxyUser,
      argv: [
        ...agentCommand(),
        'proxy',
        'sidecar',
        ...(proxyBinary === '' ? [] : ['--proxyBinary', proxyBinary]),
        '--proxyLogLevel=warning',
      ],
      env: {
        ...process.env,
        POD_NAME: pod.name,
        POD_NAMESPACE: 'lab',
        INSTANCE_IP: pod.address,
        SERVICE_ACCOUNT: pod.name,
        ENVOY_STATUS_PORT: String(pod.health),
        ENVOY_PROMETHEUS_PORT: String(pod.prometheus),
        ISTIO_META_INTERCEPTION_MODE: topology.mode === 'explicit' ? 'NONE' : 'REDIRECT',
        PROXY_CONFIG: JSON.stringify({
          statusPort: pod.status,
          proxyAdminPort: pod.admin,
          discoveryAddress: `unix://${xdsSocket}`,
          // A lab is left in a hurry, and its access log is read while it runs.
          terminationDrainDuration: '0s',
          fileFlushInterval: '0.050s',
          concurrency: 1,
          proxyStatsMatcher: { inclusionRegexps: ['.*'] },
        }),
      },
      output: join(logs, `${pod.name}.log`),
      restart: true,
    })
  }

  /** `pilot-agent wait`, as the postStart hook of a pod runs it. Resolves to its exit status. */
  async waitForSidecar(pod: Pod): Promise<number> {
    const url = `http://127.0.0.1:${pod.health}/healthz/ready`
    const child = this.#start(`${pod.name} wait`, {
      pod,
      user: [],
      argv: [...agentCommand(), 'wait', '--timeoutSeconds=30', '--periodMillis=50', `--url=${url}`],
      env: process.env,
      output: join(this.#options.logs, `${pod.name}.wait.log`),
      restart: false,
    })
    return await child.exited
  }

  /** The init container: rules that send the pod's traffic through its proxy. Throws Error with the tool's words. */
  async captureTraffic(pod: Pod, extraExcluded: string): Promise<void> {
    const log = join(this.#options.logs, `${pod.name}.init.log`)
    const excluded = extraExcluded === '' ? EXCLUDED_PORTS : `${EXCLUDED_PORTS},${extraExcluded}`
    const child = this.#start(`${pod.name} init`, {
      pod,
      user: [],
      argv: [
        ...agentCommand(),
        'istio-iptables',
        ...['-p', '15001', '-z', '15006', '-u', String(PROXY_UID), '-g', String(PROXY_UID), '-m', 'REDIRECT'],
        ...['-i', '*', '-x', '', '-b', '*', '-d', excluded],
      ],
      env: process.env,
      output: log,
      restart: false,
    })
    const status = await child.exited
    if (status !== 0) throw new Error(`${pod.name}: istio-iptables ended with status ${status}; see ${log}`)
  }

  /** All at once; the order does not matter to anybody any more. */
  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#children.splice(0).map(child => child.stop()))
  }

  #start(name: string, what: Start): Child {
    // Ctrl-C during the start: what was about to be started would outlive the lab.
    if (this.#stopped) throw new Error('the lab is closing')
    const argv = [...what.user, ...what.argv]
    // A lab that is killed takes its processes along.
    if (what.user.length === 0 && hasSetpriv()) argv.unshift('setpriv', '--pdeathsig', 'TERM')
    const child = new Child({
      name,
      argv: what.pod.namespace === undefined ? argv : inNamespace(what.pod.namespace, argv),
      env: what.env,
      cwd: what.user === this.#proxyUser || what.restart ? this.#folderOf(what.pod) : this.#options.folder,
      output: what.output,
      restart: what.restart,
      onEvent: this.#options.onEvent,
      onCrash: this.#options.onCrash,
    })
    this.#children.push(child)
    return child
  }

  #folderOf(pod: Pod): string {
    const folder = join(this.#options.folder, pod.name)
    mkdirSync(folder, { recursive: true })
    return folder
  }
}

interface Start {
  readonly pod: Pod
  readonly user: readonly string[]
  readonly argv: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly output: string | 'pipe'
  readonly restart: boolean
}

/** This program again, for its hidden subcommands. */
function remoraCommand(): string[] {
  return [process.execPath, process.argv[1] as string]
}

/** pilot-agent beside this program, in the sources as in the built package. */
function agentCommand(): string[] {
  const own = process.argv[1] as string
  return [process.execPath, join(dirname(own), `pilot-agent${extname(own)}`)]
}
