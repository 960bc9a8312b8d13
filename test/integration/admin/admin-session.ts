import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { settled, until } from '../../harness/until.ts'

export interface Answer {
  readonly status: number
  /** In the order they came. */
  readonly headerNames: readonly string[]
  header(name: string): string | undefined
  /** Chunks joined. */
  readonly body: string
}

const BIN = fileURLToPath(new URL('../../../bin/envoy', import.meta.url))
const CERTS = fileURLToPath(new URL('../../harness/certs', import.meta.url))

/** The layers are those of the recorded /runtime; all ports are the kernel's choice but the admin's, which is a Unix socket. */
function config(directory: string): string {
  const hcm = `
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: main
          route_config:
            name: local_route
            virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: dead}}]}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}`
  const endpoint = '{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}}'
  return `
node: {id: test, cluster: test, metadata: {a: b}, locality: {region: r, zone: z}}
admin:
  address: {pipe: {path: ${directory}/admin.sock}}
  profile_path: ${directory}/envoy.prof
  access_log:
  - name: envoy.access_loggers.file
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
      path: ${directory}/admin.log
layered_runtime:
  layers:
  - name: static_layer_0
    static_layer:
      lab: {some_key: 12, str_key: hello, frac: {denominator: HUNDRED, numerator: 25}, bool_key: true}
      fault.http.abort.abort_percent: 0
  - {name: admin, admin_layer: {}}
static_resources:
  secrets:
  - name: server_cert
    tls_certificate: {certificate_chain: {filename: ${CERTS}/server.pem}, private_key: {filename: ${CERTS}/server.key}}
  listeners:
  - name: main
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:${hcm}
  clusters:
  - name: tls
    type: STATIC
    load_assignment: {cluster_name: tls, endpoints: [{lb_endpoints: [${endpoint}]}]}
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        common_tls_context: {tls_certificate_sds_secret_configs: [{name: server_cert}]}
  - name: dead
    type: STATIC
    load_assignment: {cluster_name: dead, endpoints: [{lb_endpoints: [${endpoint}]}]}
`
}

/** A proxy with an admin interface on a Unix socket, and a client that sees headers as they came. */
export class AdminSession {
  readonly exitCode: Promise<number | null>
  readonly #directory: string
  readonly #child: ChildProcess

  private constructor(directory: string, child: ChildProcess) {
    this.#directory = directory
    this.#child = child
    this.exitCode = new Promise(resolve => child.once('exit', code => resolve(code)))
  }

  /** Resolves when /ready says LIVE. */
  static async start(): Promise<AdminSession> {
    const directory = mkdtempSync(join(tmpdir(), 'admin-'))
    const file = join(directory, 'envoy.yaml')
    writeFileSync(file, config(directory))
    const args = ['-c', file, '--concurrency', '1', '--use-dynamic-base-id', '--file-flush-interval-msec', '20']
    const log = join(directory, 'envoy.log')
    const child = spawn(BIN, [...args, '--log-path', log], { stdio: 'ignore' })
    const session = new AdminSession(directory, child)
    const ready = async (): Promise<boolean> => (await session.get('/ready')).status === 200
    await until(async () => child.exitCode !== null || (await ready())).catch(() => {})
    if (child.exitCode === null && (await ready().catch(() => false))) return session
    const text = readFileSync(log, 'utf8')
    await session.stop()
    throw new Error(`the proxy did not become ready:\n${text}`)
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null) this.#child.kill('SIGKILL')
    await this.exitCode
    rmSync(this.#directory, { recursive: true, force: true })
  }

  /** A file of the session's directory, '' until there is one. */
  file(name: string): string {
    try {
      return readFileSync(join(this.#directory, name), 'utf8')
    } catch {
      return ''
    }
  }

  /** `port`: of a listener instead of the admin interface. */
  get(target: string, port?: number): Promise<Answer> {
    return this.send('GET', target, port)
  }

  send(method: string, target: string, port?: number): Promise<Answer> {
    const length = method === 'POST' || method === 'PUT' || method === 'PATCH' ? 'Content-Length: 0\r\n' : ''
    return this.raw(`${method} ${target} HTTP/1.1\r\nHost: admin.test\r\n${length}\r\n`, port)
  }

  /** Sends bytes and reads one answer. */
  raw(bytes: string, port?: number): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const where = port === undefined ? { path: join(this.#directory, 'admin.sock') } : { host: '127.0.0.1', port }
      const socket = connect(where, () => socket.write(bytes))
      let seen = ''
      socket.setEncoding('latin1')
      socket.on('data', (chunk: string) => {
        seen += chunk
        const answer = complete(seen)
        if (answer === null) return
        socket.destroy()
        resolve(answer)
      })
      socket.setTimeout(20_000, () => socket.destroy(new Error(`no whole answer to ${bytes.split('\r')[0]}: ${seen}`)))
      socket.on('error', reject)
      socket.on('close', () => reject(new Error(`closed after ${JSON.stringify(seen)}`)))
    })
  }

  /** Resolves when a connection to `port` is refused. */
  async refused(port: number): Promise<void> {
    const error = (): Promise<NodeJS.ErrnoException | null> =>
      this.get('/x', port).then(
        () => null,
        (reason: NodeJS.ErrnoException) => reason,
      )
    await until(async () => (await error())?.code === 'ECONNREFUSED', `port ${port} still accepts`)
  }

  /** The line of the admin's access log that contains `part`, once it is written. */
  async logLine(part: string): Promise<string> {
    const find = (): string | undefined =>
      this.file('admin.log')
        .split('\n')
        .slice(0, -1)
        .find(line => line.includes(part))
    const line = await settled(find, found => found !== undefined)
    if (line === undefined) throw new Error(`no line with ${part}`)
    return line
  }
}

/** Null until a whole answer (content-length or chunked) is there. */
function complete(seen: string): Answer | null {
  const end = seen.indexOf('\r\n\r\n')
  if (end < 0) return null
  const [statusLine = '', ...lines] = seen.slice(0, end).split('\r\n')
  const headers = lines.map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)] as const)
  const header = (name: string): string | undefined => headers.find(([n]) => n === name)?.[1]
  const rest = seen.slice(end + 4)
  const body =
    header('transfer-encoding') === 'chunked' ? chunked(rest) : whole(rest, Number(header('content-length') ?? 0))
  if (body === null) return null
  return {
    status: Number(statusLine.split(' ')[1]),
    headerNames: headers.map(([name]) => name),
    header,
    body: Buffer.from(body, 'latin1').toString('utf8'),
  }
}

function whole(rest: string, length: number): string | null {
  return rest.length < length ? null : rest.slice(0, length)
}

function chunked(rest: string): string | null {
  let body = ''
  let at = 0
  for (;;) {
    const line = rest.indexOf('\r\n', at)
    if (line < 0) return null
    const size = Number.parseInt(rest.slice(at, line), 16)
    if (size === 0) return body
    if (rest.length < line + 2 + size + 2) return null
    body += rest.slice(line + 2, line + 2 + size)
    at = line + 2 + size + 2
  }
}
