import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Certificates, makeCertificates } from '../certificates.ts'
import { ask } from '../checks/ask.ts'
import type { Configuration } from '../configurations/configuration.ts'
import { MANY } from '../configurations/scale.ts'
import { workerUser } from '../peers/find.ts'
import type { PeerProgram } from '../peers/peer.ts'
import { asUpstream, type Pinning, pinned, proxyCpus } from '../pinning.ts'
import { nodeCommand } from '../place.ts'
import { Ports } from '../ports.ts'
import { Child, stopAll } from '../processes/child.ts'
import { treeCpuSeconds, treeMemory } from '../processes/tree.ts'
import type { Sites, Upstreams } from '../sites.ts'
import type { Target } from '../target.ts'
import { FILES, nginxUpstream } from '../upstreams/nginx.ts'

/** Configurations longer than this are shortened in the report. */
const LONGEST_SHOWN = 64 * 1024

/** One run of the bench: its folder, its ports, its upstreams, and the proxies it starts. */
export class Session {
  readonly folder = mkdtempSync(join(tmpdir(), 'remora-bench-'))
  readonly pinning: Pinning
  /** peer → configuration → text, for the report. */
  readonly configurations = new Map<string, Record<string, string>>()
  /** peer → how it was last started. */
  readonly commands = new Map<string, readonly string[]>()
  readonly #ports: Ports
  #upstreams: Upstreams | null = null
  #certificates: Certificates | null = null
  #xdsStarted = false
  #started = 0
  #closed = false

  constructor(pinning: Pinning, firstPort: number) {
    this.pinning = pinning
    this.#ports = new Ports(firstPort)
  }

  /** Starts nginx and the others; makes certificates where `tls`. Throws when one of them does not come up. */
  async open(tls: boolean): Promise<void> {
    const port = (): Promise<number> => this.#ports.take()
    const upstreams: Upstreams = {
      http1: await port(),
      http2: await port(),
      mutualTls: await port(),
      stub: await port(),
      hold: await port(),
      grpc: await port(),
      tcp: await port(),
      xds: await port(),
      xdsControl: await port(),
    }
    this.#upstreams = upstreams
    if (tls) this.#certificates = makeCertificates(this.folder)
    mkdirSync(join(this.folder, 'files'))
    for (const [name, size] of Object.entries(FILES))
      writeFileSync(join(this.folder, 'files', name), Buffer.alloc(size, 'remora '))
    const config = join(this.folder, 'upstream.conf')
    writeFileSync(config, nginxUpstream(upstreams, this.folder, workerUser(), this.#certificates))
    const { pinning } = this
    await this.#untilOpen()
    const log = join(this.folder, 'upstream.err')
    const nginx = new Child(asUpstream(pinning, ['nginx', '-c', config, '-e', `${this.folder}/nginx.err`]), log)
    const ports = ['--stub', upstreams.stub, '--hold', upstreams.hold, '--grpc', upstreams.grpc, '--tcp', upstreams.tcp]
    const node = new Child(asUpstream(pinning, nodeCommand('upstreams/main', ...ports.map(String))), log)
    await listening(upstreams.http1, nginx)
    await listening(upstreams.tcp, node)
  }

  /** Starts a proxy and resolves when it is ready. Throws with its log when it does not get there. */
  async start(peer: PeerProgram, configuration: Configuration, timeoutSeconds = 60): Promise<Target> {
    const name = `${peer.id}-${configuration.id}`
    const folder = join(this.folder, `${name}-${this.#started++}`)
    mkdirSync(folder)
    if (configuration.controlPlane === true) await this.#startControlPlane()
    const sites: Sites = {
      listen: configuration.ports?.listen ?? (await this.#ports.take()),
      admin: configuration.ports?.admin ?? (await this.#ports.take()),
      log: join(folder, 'access.log'),
      folder,
      workers: configuration.workers,
      upstreams: this.#upstreams!,
      certificates: this.#certificates,
    }
    const file = join(folder, `config.${peer.extension}`)
    const text = peer.configure(configuration, sites)
    writeFileSync(file, text)
    this.#remember(peer, configuration, text, peer.command(file, sites))
    const cpus = configuration.allCores === true ? null : proxyCpus(this.pinning, configuration.workers)
    const command = pinned(cpus, peer.command(file, sites))
    await this.#untilOpen()
    const errors = join(folder, 'proxy.log')
    const started = performance.now()
    const child = new Child(command, errors, peer.logsToStdout ? sites.log : errors)
    try {
      await ready(peer, sites, child, timeoutSeconds)
    } catch (error) {
      await child.stop()
      throw error
    }
    const readySeconds = (performance.now() - started) / 1000
    const readyCpuSeconds = treeCpuSeconds(child.pid)
    const readyMemory = treeMemory(child.pid)
    return { peer, configuration, sites, process: child, readySeconds, readyCpuSeconds, readyMemory }
  }

  /** Stops a proxy and removes what it wrote. */
  async stop(target: Target): Promise<void> {
    await target.process.stop()
    rmSync(target.sites.folder, { recursive: true, force: true })
  }

  async close(): Promise<void> {
    this.#closed = true
    await stopAll()
    if (process.env['BENCH_KEEP'] === undefined) rmSync(this.folder, { recursive: true, force: true })
  }

  /** Never, when closed: who closes while something starts is about to end this process, and would not end that any more. */
  async #untilOpen(): Promise<void> {
    if (this.#closed) await new Promise(() => {})
  }

  async #startControlPlane(): Promise<void> {
    const { xds, xdsControl, http1 } = this.#upstreams!
    if (this.#xdsStarted) return
    this.#xdsStarted = true
    const ports = ['--port', xds, '--control', xdsControl, '--endpoint', http1, '--clusters', MANY].map(String)
    const command = asUpstream(this.pinning, nodeCommand('upstreams/delta-xds', ...ports))
    await this.#untilOpen()
    await listening(xdsControl, new Child(command, join(this.folder, 'xds.err')))
  }

  #remember(peer: PeerProgram, configuration: Configuration, text: string, command: readonly string[]): void {
    let own = this.configurations.get(peer.id)
    if (own === undefined) {
      own = {}
      this.configurations.set(peer.id, own)
    }
    const rest = text.length - LONGEST_SHOWN
    own[configuration.id] ??= rest > 0 ? `${text.slice(0, LONGEST_SHOWN)}\n# … ${rest} more characters alike\n` : text
    const neutral = command.map(word => (word.startsWith(this.folder) ? `CONFIGURATION.${peer.extension}` : word))
    this.commands.set(peer.id, neutral)
  }
}

async function ready(peer: PeerProgram, sites: Sites, child: Child, seconds: number): Promise<void> {
  const end = Date.now() + seconds * 1000
  while (Date.now() < end && child.ended === null) {
    if (peer.isEnvoy ? await isLive(sites.admin) : await accepts(sites.listen)) return
    await sleep(2)
  }
  throw new Error(`${peer.title} did not become ready (${child.ended ?? 'time is over'}):\n${child.tail()}`)
}

async function isLive(admin: number): Promise<boolean> {
  const question = { port: admin, path: '/ready', host: 'admin', protocol: 'http1', tls: false, client: null } as const
  const answer = await ask({ ...question, timeoutSeconds: 5 })
  return answer.status === 200 && answer.body.toString().trim() === 'LIVE'
}

async function listening(port: number, child: Child): Promise<void> {
  const end = Date.now() + 10_000
  while (Date.now() < end && child.ended === null) {
    if (await accepts(port)) return
    await sleep(20)
  }
  throw new Error(`${child.command.join(' ')} does not listen (${child.ended ?? 'time is over'}):\n${child.tail()}`)
}

function accepts(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ host: '127.0.0.1', port })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
