import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { readIfPresent } from '../agent/proxy-config.ts'
import { AdsServer } from './ads-server.ts'
import type { AdsEvent } from './ads-session.ts'
import { ClientApplication } from './application.ts'
import { FrontDoor } from './front-door.ts'
import { accessLogPath, writeMeshConfig } from './mesh-config.ts'
import { isAlive, missingForNamespaces, sweep } from './network.ts'
import { Pods } from './pods.ts'
import { ResourceWatcher } from './resource-watcher.ts'
import { explicitTopology, namespaceTopology, POD_NAMES, type Pod, type Topology } from './topology.ts'
import { complete, describe, takeTour } from './tour.ts'

export interface LabOptions {
  /** End after the tour. */
  readonly once: boolean
  /** No namespaces and no rules, even where they are possible. */
  readonly explicit: boolean
  /** Binary of the proxy; empty for this package's own. */
  readonly proxyBinary: string
  readonly print: (line: string) => void
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal
}

const READY_LIMIT_MS = 30_000
const FRONT_DOOR_PORT = 8088
/** A proxy that cannot start at all has ended this often, all pods taken together, after about a second. */
const HOPELESS_CRASHES = 12

/** Runs the lab until it is aborted or, with `once`, through its tour. Resolves to the exit status: 0, or 1 for a failed step. */
export async function labUp(options: LabOptions): Promise<number> {
  const lab = await Lab.create(options)
  try {
    const status = await Promise.race([lab.run(), aborted(options.signal)])
    return status
  } finally {
    await lab.close()
    options.print('lab: all processes, namespaces and rules are gone')
  }
}

class Lab {
  readonly #options: LabOptions
  readonly #topology: Topology
  readonly #folder: string
  readonly #logs: string
  readonly #pods: Pods
  readonly #ads: AdsServer
  readonly #started = performance.now()
  #watcher: ResourceWatcher | undefined
  #door: FrontDoor | undefined
  #sent = new Map<string, number>()
  readonly #hopeless = Promise.withResolvers<boolean>()
  #crashes = 0
  #closing = false

  static async create(options: LabOptions): Promise<Lab> {
    removeStaleFolders()
    for (const name of sweep('remora-lab')) options.print(`lab: removed namespace ${name} of a lab that was killed`)
    const missing = options.explicit ? 'asked for with --explicit' : missingForNamespaces()
    if (missing !== undefined)
      options.print(`lab: explicit-proxy mode (${missing}): applications name their proxy's port`)
    else options.print('lab: each pod has its own network namespace; iptables sends its traffic through its sidecar')
    return new Lab(options, missing === undefined ? namespaceTopology() : await explicitTopology())
  }

  private constructor(options: LabOptions, topology: Topology) {
    this.#options = options
    this.#topology = topology
    this.#folder = mkdtempSync(join(tmpdir(), `remora-lab-${process.pid}-`))
    this.#logs = join(this.#folder, 'logs')
    this.#pods = new Pods({
      topology,
      folder: this.#folder,
      logs: this.#logs,
      xdsSocket: this.#xdsSocket,
      proxyBinary: options.proxyBinary,
      onEvent: message => {
        if (!this.#closing) options.print(`lab: ${message}`)
      },
      onCrash: () => {
        if (++this.#crashes >= HOPELESS_CRASHES) this.#hopeless.resolve(false)
      },
    })
    this.#ads = new AdsServer(event => this.#onAdsEvent(event))
  }

  get #xdsSocket(): string {
    return join(this.#folder, 'xds.sock')
  }

  async run(): Promise<number> {
    const { print } = this.#options
    const { pods, mode } = this.#topology
    const resources = join(this.#folder, 'resources')
    mkdirSync(resources)
    writeMeshConfig(resources, this.#logs, this.#topology)

    const client = new ClientApplication(this.#pods.startApplication(pods.client, 'client', 'pipe'))
    this.#pods.startApplication(pods['echo-v1'], 'http-echo', 'log')
    this.#pods.startApplication(pods['echo-v2'], 'http-echo', 'log')
    this.#pods.startApplication(pods['grpc-echo'], 'grpc-echo', 'log')
    if (mode === 'namespaces') {
      const tryPort = String(this.#topology.tryPort)
      await Promise.all(POD_NAMES.map(name => this.#pods.captureTraffic(pods[name], name === 'client' ? tryPort : '')))
    }
    for (const name of POD_NAMES) this.#pods.startSidecar(pods[name])
    const firstRequest = await Promise.race([this.#showStartUp(client, resources), this.#hopeless.promise])
    if (!firstRequest) {
      print('lab: the mesh did not come up')
      return 1
    }

    const accessLog = accessLogPath(this.#logs, pods.client)
    const failed = await takeTour({ topology: this.#topology, client, accessLog, print })
    print('')
    if (failed.length > 0)
      print(`tour: ${failed.length} of its steps went wrong: ${failed.join('; ')} (logs: ${this.#logs})`)
    else print('tour: everything as expected')
    if (this.#options.once) return failed.length === 0 ? 0 : 1
    await this.#inviteToTry(resources)
    return await new Promise<number>(() => {})
  }

  /** Idempotent. */
  async close(): Promise<void> {
    if (this.#closing) return
    this.#closing = true
    this.#watcher?.close()
    this.#door?.close()
    await this.#pods.stop()
    this.#ads.close()
    this.#topology.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** The race every mesh has at start, as people meet it, and its cure. False when the mesh did not come up. */
  async #showStartUp(client: ClientApplication, resources: string): Promise<boolean> {
    const { print } = this.#options
    const pod = this.#topology.pods.client
    const tooEarly = await client.call(complete(this.#topology, { path: '/too-early' }))
    print(`\nstart: the client calls before its sidecar runs: ${describe(tooEarly)}`)
    if (tooEarly.error === 'ECONNREFUSED' && this.#topology.mode === 'namespaces') {
      print('       (iptables sends it to port 15001, where nobody listens yet)')
    }
    // The first probes find the proxy's admin port closed; the words people search for come a moment later.
    const reason = (): string | undefined => lastLine(join(this.#logs, 'client.log'), 'NOT ready')
    const refused = await this.#pollReadiness(
      pod,
      status => status === 200 || (status !== 0 && reason()?.includes('XDS') === true),
    )
    print(`start: GET ${pod.address}:${pod.status}/healthz/ready → ${refused}`)
    print(`       ${reason() ?? `see ${this.#logs}/client.log`}`)
    print('start: the cure: `pilot-agent wait` holds the application back; now the control plane starts')

    const waiting = performance.now()
    const waited = this.#pods.waitForSidecar(pod)
    this.#watcher = new ResourceWatcher(resources, {
      onSnapshot: snapshot => this.#ads.publish(snapshot),
      onError: message => print(`\nconfiguration not used, the last good one stays: ${message}`),
    })
    await this.#ads.listen(`unix:${this.#xdsSocket}`)
    const status = await waited
    if (status !== 0) {
      print(`start: \`pilot-agent wait\` gave up (status ${status}); see ${this.#logs}/client.log`)
      return false
    }
    print(`start: \`pilot-agent wait\` ended after ${Math.round(performance.now() - waiting)} ms`)
    for (const name of POD_NAMES) {
      const ready = await this.#pollReadiness(this.#topology.pods[name], code => code === 200)
      if (ready !== 200) {
        print(`start: ${name} is not ready (${ready}); see ${this.#logs}/${name}.log`)
        return false
      }
    }
    const first = await client.call(complete(this.#topology, { path: '/first' }))
    const seconds = ((performance.now() - this.#started) / 1000).toFixed(1)
    print(`start: every sidecar is ready (200); first request: ${describe(first)}, ${seconds} s after the start`)
    return first.status === 200
  }

  /** Status of /healthz/ready once it satisfies; the last one when it never does. 0 is no answer. */
  async #pollReadiness(pod: Pod, enough: (status: number) => boolean): Promise<number> {
    const deadline = performance.now() + READY_LIMIT_MS
    for (;;) {
      const status = await readiness(pod)
      if (enough(status) || performance.now() > deadline) return status
      await sleep(50)
    }
  }

  #onAdsEvent(event: AdsEvent): void {
    if (this.#closing) return
    const { print } = this.#options
    const key = `${event.node} ${event.type}`
    switch (event.kind) {
      case 'sent':
        this.#sent.set(key, event.count)
        return
      case 'ack':
        print(`  xds: ${event.node} ACK  ${event.type} ×${this.#sent.get(key) ?? 0} (version ${event.version})`)
        return
      case 'nack':
        print(`  xds: ${event.node} NACK ${event.type} (version ${event.version}): ${event.reason}`)
        return
      case 'disconnected':
        print(`  xds: ${event.node} disconnected`)
        return
      case 'connected':
        return
    }
  }

  async #inviteToTry(resources: string): Promise<void> {
    const { print } = this.#options
    const { tryHost, tryPort, pods, mode, grpc } = this.#topology
    this.#door = new FrontDoor(tryHost, tryPort)
    const door = await this.#door.listen(FRONT_DOOR_PORT)
    const inside = mode === 'explicit' ? '' : `ip netns exec ${pods.client.namespace} `
    print(`
The lab stays up. Try:
  curl http://localhost:${door}/                       (or in a browser)
  curl http://${tryHost}:${tryPort}/ -H 'x-version: v2'
  curl http://${tryHost}:${tryPort}/flaky              /slow-once  /slow  /fault`)
    if (mode === 'namespaces')
      print(`  ${inside}curl http://${this.#topology.echo.host}/       as the client's application does`)
    print(`  ${inside}curl http://127.0.0.1:${pods.client.admin}/clusters     admin of the client's sidecar
  gRPC: ${grpc.host}:${grpc.port} (remora.lab.EchoService)
Edit the configuration while it runs: ${resources}/client/routes.yaml
Logs: ${this.#logs}
Ctrl-C ends it.`)
  }
}

function readiness(pod: Pod): Promise<number> {
  return new Promise(resolve => {
    const host = pod.address
    const outgoing = request(
      { host, port: pod.status, path: '/healthz/ready', agent: false, timeout: 1000 },
      incoming => {
        incoming.resume()
        incoming.on('end', () => resolve(incoming.statusCode ?? 0))
        incoming.on('error', () => resolve(0))
      },
    )
    outgoing.on('timeout', () => outgoing.destroy())
    outgoing.on('error', () => resolve(0))
    outgoing.end()
  })
}

/** Of labs that were killed. */
function removeStaleFolders(): void {
  for (const name of readdirSync(tmpdir())) {
    const owner = /^remora-lab-([0-9]+)-/.exec(name)?.[1]
    if (owner === undefined || isAlive(Number(owner))) continue
    try {
      rmSync(join(tmpdir(), name), { recursive: true, force: true })
    } catch {
      // Another user's is not ours to remove.
    }
  }
}

function lastLine(path: string, text: string): string | undefined {
  const line = readIfPresent(path)
    ?.split('\n')
    .findLast(candidate => candidate.includes(text))
  return line?.split('\t').slice(1).join(' ')
}

function aborted(signal: AbortSignal): Promise<number> {
  return new Promise(resolve => signal.addEventListener('abort', () => resolve(0), { once: true }))
}
