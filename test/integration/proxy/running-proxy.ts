import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { allocatePort, releasePort } from '../../harness/ports.ts'
import { until } from '../../harness/until.ts'

const COMMAND = fileURLToPath(new URL('../../../bin/envoy', import.meta.url))

export interface ProxyOptions {
  readonly upstream: number
  /** The whole bootstrap instead, in any format Envoy reads as YAML. */
  readonly bootstrap?: (port: number, admin: number) => string
  readonly http2Upstream?: boolean
  /** More of the connection manager, as YAML at its indentation. */
  readonly manager?: string
  readonly concurrency?: number
  readonly flags?: readonly string[]
  /** Another envoy than `bin/envoy`. */
  readonly command?: string
}

/** `bin/envoy` with one HTTP listener in front of one cluster, for tests that need the product as a whole. */
export class RunningProxy {
  readonly port: number
  readonly admin: number
  readonly pid: number
  /** With all that it has said in `log`. */
  readonly exited: Promise<number | null>
  private readonly folder: string
  private readonly child: ReturnType<typeof spawn>
  /** Its standard error so far. */
  log = ''

  private constructor(port: number, admin: number, folder: string, command: string, flags: readonly string[]) {
    this.port = port
    this.admin = admin
    this.folder = folder
    this.child = spawn(
      command,
      ['-c', join(folder, 'bootstrap.yaml'), '-l', 'warning', '--disable-hot-restart', ...flags],
      {
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    )
    this.child.stderr!.on('data', chunk => {
      this.log += chunk
    })
    this.pid = this.child.pid!
    this.exited = new Promise(resolve => this.child.once('close', code => resolve(code)))
  }

  static async start(options: ProxyOptions): Promise<RunningProxy> {
    const port = await allocatePort()
    const admin = await allocatePort()
    const folder = mkdtempSync(join(tmpdir(), 'remora-test-'))
    writeFileSync(
      join(folder, 'bootstrap.yaml'),
      (options.bootstrap ?? ((p, a) => bootstrap(p, a, options)))(port, admin),
    )
    const proxy = new RunningProxy(port, admin, folder, options.command ?? COMMAND, [
      '--concurrency',
      String(options.concurrency ?? 1),
      ...(options.flags ?? []),
    ])
    const ready = async (): Promise<boolean> => (await fetch(`http://127.0.0.1:${admin}/ready`)).status === 200
    await until(async () => proxy.child.exitCode !== null || (await ready())).catch(() => {})
    if (proxy.child.exitCode === null && (await ready().catch(() => false))) return proxy
    await proxy.stop()
    throw new Error(`proxy did not become ready:\n${proxy.log}`)
  }

  /** Resident set in bytes. */
  memory(): number {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))![1]) * 1024
  }

  async stat(name: string): Promise<number> {
    const text = await (await fetch(`http://127.0.0.1:${this.admin}/stats?filter=^${name}$`)).text()
    return Number(/: (\d+)/.exec(text)?.[1] ?? -1)
  }

  post(path: string): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.admin}${path}`, { method: 'POST' })
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name)
  }

  async stop(): Promise<void> {
    this.child.kill('SIGTERM')
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 15_000)
    await this.exited
    clearTimeout(timer)
    releasePort(this.port)
    releasePort(this.admin)
    rmSync(this.folder, { recursive: true, force: true })
  }
}

function bootstrap(port: number, admin: number, options: ProxyOptions): string {
  const protocol = options.http2Upstream
    ? `
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http2_protocol_options: {} }`
    : ''
  return `
admin: { address: { socket_address: { address: 127.0.0.1, port_value: ${admin} } } }
static_resources:
  listeners:
  - name: http
    address: { socket_address: { address: 127.0.0.1, port_value: ${port} } }
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          ${options.manager ?? 'request_timeout: 0s'}
          route_config:
            virtual_hosts:
            - { name: all, domains: ["*"], routes: [ { match: { prefix: "/" }, route: { cluster: upstream, timeout: 60s } } ] }
          http_filters:
          - name: router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
  - name: upstream
    type: STATIC${protocol}
    circuit_breakers: { thresholds: [ { max_connections: 4000, max_pending_requests: 4000, max_requests: 4000 } ] }
    load_assignment:
      cluster_name: upstream
      endpoints: [ { lb_endpoints: [ { endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${options.upstream} } } } } ] } ]
`
}
