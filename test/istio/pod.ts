import { type ChildProcess, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { chownSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { Agent, type ClientRequest, type IncomingHttpHeaders, request } from 'node:http'
import type { Server, Socket } from 'node:net'
import { join } from 'node:path'
import { inNamespace } from '../../src/lab/network.ts'
import { PROXY_UID, proxyUser, userOptions } from '../../src/lab/users.ts'
import { until } from '../harness/until.ts'
import type { Member } from './cluster.ts'

const COMMAND = join(import.meta.dirname, '../../bin/pilot-agent')
/** What an injected pod's init container is given. */
const RULES = [
  ...['-p', '15001', '-z', '15006', '-u', String(PROXY_UID), '-g', String(PROXY_UID)],
  ...['-i', '*', '-x', '', '-b', '*', '-d', '15090,15021,15020', '--log_output_level=default:info'],
]
/** Generous: the machine may be busy with other tests. */
const PATIENCE_MS = 40_000

/** Of the annotation sidecar.istio.io/interceptionMode. */
export type InterceptionMode = 'REDIRECT' | 'TPROXY' | 'NONE'

export interface PodOptions {
  readonly name: string
  readonly address: string
  /** Service account; also the workload's name and its label app. */
  readonly account: string
  readonly labels?: Readonly<Record<string, string>>
  readonly type?: 'sidecar' | 'router' | 'waypoint'
  readonly mode?: InterceptionMode
}

export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** Without the variables by which tap follows child processes: as another user they could not write its files. */
const PLAIN = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => name === 'PATH' || name.startsWith('REMORA_')),
)

/** A pod: its network, its agent with its proxy as user 1337, and whatever applications the test runs in it. */
export class Pod {
  readonly name: string
  readonly address: string
  /** What agent and proxy have printed since the start. */
  output = ''
  /** Of the agent. */
  exited: Promise<number | null> = Promise.resolve(null)
  readonly #member: Member
  readonly #folder: string
  readonly #options: PodOptions
  readonly #servers = new Map<number, Server>()
  readonly #sockets = new Set<Socket>()
  #child: ChildProcess | undefined

  constructor(member: Member, folder: string, options: PodOptions) {
    this.#member = member
    this.#folder = folder
    this.#options = options
    this.name = options.name
    this.address = options.address
  }

  get #mode(): InterceptionMode {
    return this.#options.mode ?? 'REDIRECT'
  }

  /** A file of the pod, as volumes mount it: `var/run/secrets/…`. */
  write(path: string, text: string): void {
    const absolute = join(this.#folder, path)
    mkdirSync(join(absolute, '..'), { recursive: true })
    writeFileSync(absolute, text)
  }

  /** The init container. Throws Error with the tool's words. */
  async capture(): Promise<void> {
    const argv = inNamespace(this.#member.namespace, [COMMAND, 'istio-iptables', ...RULES, '-m', this.#mode])
    const child = spawn(argv[0]!, argv.slice(1), {
      env: { ...PLAIN, ISTIO_META_DNS_CAPTURE: 'true' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', text => (said += text))
    const status = await new Promise(resolve => child.once('close', resolve))
    if (status !== 0) throw new Error(`istio-iptables ended with ${status}:\n${said}`)
  }

  /** The agent, with the variables of an injected pod and these. */
  start(env: Readonly<Record<string, string>>, config: object): void {
    const { name, address, account, labels = {}, type = 'sidecar' } = this.#options
    const all = {
      app: account,
      ...labels,
      'security.istio.io/tlsMode': 'istio',
      'service.istio.io/canonical-name': account,
      'service.istio.io/canonical-revision': labels['version'] ?? 'latest',
    }
    const lines = Object.entries(all).map(([key, value]) => `${key}="${value}"\n`)
    this.write('etc/istio/pod/labels', lines.join(''))
    this.write('etc/istio/pod/annotations', '')
    give(this.#folder)
    if (this.#mode === 'NONE') this.#member.openLowPorts()
    const proxy = ['proxy', type, '--domain', 'demo.svc.cluster.local', '--proxyLogLevel=warning']
    // As Istio injects it: transparent sockets need root's capabilities, and the rules exempt the group.
    const user = this.#mode === 'TPROXY' ? userOptions(0, PROXY_UID) : proxyUser([process.execPath, COMMAND])
    const argv = inNamespace(this.#member.namespace, [...user, COMMAND, ...proxy, '--log_output_level=default:info'])
    const child = spawn(argv[0]!, argv.slice(1), {
      cwd: this.#folder,
      // A group of its own: what the agent leaves behind goes with it.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...PLAIN,
        POD_NAME: name,
        POD_NAMESPACE: 'demo',
        INSTANCE_IP: address,
        SERVICE_ACCOUNT: account,
        TRUST_DOMAIN: 'cluster.local',
        CLOUD_PLATFORM: 'none',
        ECC_SIGNATURE_ALGORITHM: 'ECDSA',
        ISTIO_META_CLUSTER_ID: 'Kubernetes',
        ISTIO_META_INTERCEPTION_MODE: this.#mode,
        ISTIO_META_MESH_ID: 'cluster.local',
        ISTIO_META_WORKLOAD_NAME: account,
        ISTIO_META_OWNER: `kubernetes://apis/apps/v1/namespaces/demo/deployments/${account}`,
        ISTIO_META_POD_PORTS: '[{"containerPort":8080,"protocol":"TCP"}]',
        ISTIO_META_DNS_CAPTURE: 'true',
        ...env,
        PROXY_CONFIG: JSON.stringify({
          discoveryAddress: '10.77.0.1:15012',
          controlPlaneAuthPolicy: 'MUTUAL_TLS',
          concurrency: 1,
          // Tests read the access log while the proxy runs.
          fileFlushInterval: '0.050s',
          ...config,
        }),
      },
    })
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) {
      stream!.setEncoding('utf8').on('data', text => (this.output += text))
    }
    this.exited = new Promise(resolve => child.once('exit', code => resolve(code)))
  }

  /** Another run of the agent's program in the pod, as a lifecycle hook is. Resolves to its exit status. */
  async hook(...argv: readonly string[]): Promise<number | null> {
    const [file, ...args] = inNamespace(this.#member.namespace, [COMMAND, ...argv])
    const child = spawn(file!, args, { env: PLAIN, stdio: 'ignore' })
    return await new Promise(resolve => child.once('exit', resolve))
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name)
  }

  /** Agent and proxy at once, servers and connections. */
  async stop(): Promise<void> {
    for (const port of [...this.#servers.keys()]) this.unserve(port)
    for (const socket of this.#sockets) socket.destroy()
    if (this.#child === undefined) return
    this.kill()
    await this.exited
  }

  /** The agent and what it started, at once. */
  kill(): void {
    if (this.#child?.pid === undefined) return
    try {
      process.kill(-this.#child.pid, 'SIGKILL')
    } catch {
      // Gone already.
    }
  }

  /** An application of the pod listens on every address. */
  serve(server: Server, port: number): void {
    this.#member.inside(() => server.listen({ port }))
    server.on('connection', socket => this.#keep(socket))
    this.#servers.set(port, server)
  }

  /** The application stops to listen; connections stay. */
  unserve(port: number): void {
    this.#servers.get(port)?.close()
    this.#servers.delete(port)
  }

  /** An application of the pod connects. `host` is an IP address. */
  connect(host: string, port: number): Socket {
    return this.#keep(this.#member.connect(host, port))
  }

  /** The answer to one datagram that an application of the pod sends; rejects when none comes in time. */
  datagram(host: string, port: number, question: Uint8Array): Promise<Buffer> {
    // With a lookup that calls back at once the socket is made at once.
    const socket = createSocket({ type: 'udp4', lookup: (name, _, done) => done(null, name, 4) })
    this.#member.inside(() => socket.bind({ port: 0, address: '0.0.0.0', exclusive: true }))
    return new Promise<Buffer>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error('no answer')), PATIENCE_MS)
      socket.on('message', message => {
        clearTimeout(late)
        resolve(message)
      })
      socket.on('error', reject)
      socket.send(question, port, host)
    }).finally(() => socket.close())
  }

  #keep(socket: Socket): Socket {
    this.#sockets.add(socket)
    return socket.on('close', () => this.#sockets.delete(socket)).on('error', () => {})
  }

  /** One request from inside the pod; status 0 with the error as body when there was no answer. */
  ask(
    host: string,
    port: number,
    path: string,
    more: { method?: string; headers?: Record<string, string>; body?: string; agent?: Agent } = {},
  ): Promise<Reply> {
    const { method = 'GET', headers = {}, body, agent } = more
    const by = agent === undefined ? { createConnection: () => this.connect(host, port) } : { agent }
    return replyTo(request({ host, port, path, method, headers, ...by }), body)
  }

  /** An agent of connections from inside the pod, for `ask`. */
  keepAlive(host: string, port: number): Agent {
    const agent = new Agent({ keepAlive: true })
    agent.createConnection = () => this.connect(host, port)
    return agent
  }

  /** The agent's own endpoints: 15020. */
  agent(path: string, method = 'GET'): Promise<Reply> {
    return this.ask('127.0.0.1', 15020, path, { method })
  }

  /** The proxy's admin endpoint: 15000. */
  admin(path: string, method = 'GET'): Promise<Reply> {
    return this.ask('127.0.0.1', 15000, path, { method })
  }

  async ready(): Promise<void> {
    await until(async () => (await this.agent('/healthz/ready')).status === 200).catch(() => {
      throw new Error(`${this.name} is not ready:\n${this.output}`)
    })
  }

  /** The first line of the output that matches; rejects with the output when there is none in time. */
  async says(pattern: RegExp): Promise<string> {
    let line: string | undefined
    await until(async () => {
      line = this.output.split('\n').find(text => pattern.test(text))
      return line !== undefined
    }).catch(() => {
      throw new Error(`${this.name} did not say ${pattern}:\n${this.output.slice(-6000)}`)
    })
    return line!
  }
}

/** Ends the request, with this body; status 0 with the error as body when no whole answer came. */
export function replyTo(outgoing: ClientRequest, body?: string): Promise<Reply> {
  return new Promise(resolve => {
    const failed = (error: Error): void => resolve({ status: 0, headers: {}, body: error.message })
    outgoing.on('error', failed).on('response', incoming => {
      let text = ''
      incoming.setEncoding('utf8').on('data', chunk => (text += chunk))
      incoming.on('end', () => resolve({ status: incoming.statusCode!, headers: incoming.headers, body: text }))
      incoming.on('error', failed)
    })
    outgoing.end(body)
  })
}

/** The folder and all in it belong to the proxy's user. */
function give(path: string): void {
  chownSync(path, PROXY_UID, PROXY_UID)
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) give(join(path, entry.name))
    else chownSync(join(path, entry.name), PROXY_UID, PROXY_UID)
  }
}
