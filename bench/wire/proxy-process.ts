import { type ChildProcess, spawn } from 'node:child_process'
import { openSync, readFileSync } from 'node:fs'
import { request } from 'node:http'
import { join, resolve } from 'node:path'

export interface AdminAnswer {
  readonly status: number
  /** `HTTP/1.1 200 OK` */
  readonly statusLine: string
  /** `name: value` lines as received. */
  readonly headers: readonly string[]
  readonly body: string
}

/** A running `envoy`-compatible command, reached through its admin port. */
export class ProxyProcess {
  readonly adminPort: number
  private readonly child: ChildProcess
  private readonly errorLog: string
  private exit: string | null = null

  private constructor(child: ChildProcess, adminPort: number, errorLog: string) {
    this.child = child
    this.adminPort = adminPort
    this.errorLog = errorLog
    child.once('exit', (code, signal) => {
      this.exit = signal ?? `code ${code}`
    })
    child.once('error', error => {
      this.exit = error.message
    })
  }

  /**
   * Starts `command` on a configuration file and resolves when /ready says LIVE; throws with its log otherwise. `directory`
   * takes its log, `cwd` is where relative paths of the configuration begin. `spawned` gets it before it is ready.
   */
  static async start(
    command: readonly string[],
    config: string,
    directory: string,
    adminPort: number,
    extra: readonly string[] = [],
    cwd = directory,
    readySeconds = 40,
    spawned: (proxy: ProxyProcess) => void = () => {},
  ): Promise<ProxyProcess> {
    const errorLog = join(directory, 'proxy.log')
    const log = openSync(errorLog, 'a')
    const common = ['--concurrency', '1', '--disable-hot-restart', '--file-flush-interval-msec', '20', '-l', 'warning']
    const args = [...command.slice(1), '-c', config, ...common, ...extra]
    // The proxy may run in another directory, so a relative command must be found from here.
    const program = command[0]!.includes('/') ? resolve(command[0]!) : command[0]!
    const child = spawn(program, args, { stdio: ['ignore', log, log], cwd })
    const proxy = new ProxyProcess(child, adminPort, errorLog)
    spawned(proxy)
    const deadline = Date.now() + readySeconds * 1000
    while (Date.now() < deadline && proxy.exit === null) {
      const answer = await proxy.admin('GET', '/ready').catch(() => null)
      if (answer?.status === 200) return proxy
      await new Promise(resolve => setTimeout(resolve, 25))
    }
    await proxy.stop()
    throw new Error(`proxy did not become ready (${proxy.exit ?? 'time out'}):\n${proxy.logTail()}`)
  }

  get died(): string | null {
    return this.exit
  }

  logTail(): string {
    const lines = readFileSync(this.errorLog, 'utf8').split('\n').slice(-12)
    return lines.map(line => line.slice(0, 400)).join('\n')
  }

  admin(method: string, path: string, body = ''): Promise<AdminAnswer> {
    return new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port: this.adminPort, method, path, agent: false, timeout: 20_000 }
      const outgoing = request(options, incoming => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('error', reject)
        incoming.on('end', () => {
          const headers: string[] = []
          for (let i = 0; i < incoming.rawHeaders.length; i += 2) {
            headers.push(`${incoming.rawHeaders[i]}: ${incoming.rawHeaders[i + 1]}`)
          }
          const status = incoming.statusCode ?? 0
          const statusLine = `HTTP/${incoming.httpVersion} ${status} ${incoming.statusMessage}`
          resolve({ status, statusLine, headers, body: Buffer.concat(chunks).toString('utf8') })
        })
      })
      outgoing.on('error', reject)
      outgoing.on('timeout', () => outgoing.destroy(new Error('admin request timed out')))
      outgoing.end(body)
    })
  }

  /** Counters and gauges by name; histograms and text readouts are left out. */
  async stats(): Promise<Map<string, number>> {
    const { body } = await this.admin('GET', '/stats')
    const stats = new Map<string, number>()
    for (const line of body.split('\n')) {
      const found = /^(.+): (\d+)$/.exec(line)
      if (found !== null) stats.set(found[1]!, Number(found[2]))
    }
    return stats
  }

  async stop(): Promise<void> {
    if (this.exit !== null) return
    const gone = new Promise<void>(resolve => this.child.once('exit', () => resolve()))
    this.child.kill('SIGTERM')
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 3000)
    await gone
    clearTimeout(timer)
  }
}
