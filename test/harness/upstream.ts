import { type ChildProcess, spawn } from 'node:child_process'
import type { Socket as UdpSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls'
import { UpstreamState } from './behaviour.ts'
import { certificatePath } from './certificates.ts'
import { serveH2 } from './h2-upstream.ts'
import { serveHttp1 } from './http1-upstream.ts'
import { allocatePort, releasePort } from './ports.ts'
import { serveTcp } from './tcp-upstream.ts'
import { serveUdp } from './udp-upstream.ts'

export interface UpstreamSpec {
  /** `blackhole`: connections hang in SYN. A name without an upstream is a port nobody listens on. */
  readonly kind: 'http1' | 'h2' | 'tcp' | 'udp' | 'blackhole'
  /** The behaviour of every request, instead of what its `x-up` header says. */
  readonly script?: string
  /** The behaviour towards Envoy's health checkers (HTTP/1 upstreams). */
  readonly health?: string
  readonly tls?: { readonly certificate: string; readonly requireClient?: boolean; readonly alpn?: readonly string[] }
}

/** The scripted upstreams of one group, each on a port of its own. */
export class UpstreamSet {
  readonly state = new UpstreamState()
  readonly ports = new Map<string, number>()
  private readonly servers: (Server | TlsServer)[] = []
  private readonly sockets = new Set<Socket>()
  private readonly children: ChildProcess[] = []
  private readonly collectors: UdpSocket[] = []

  async start(specs: Readonly<Record<string, UpstreamSpec>>): Promise<void> {
    for (const [name, spec] of Object.entries(specs)) {
      const port = await allocatePort()
      this.ports.set(name, port)
      if (spec.kind === 'blackhole') await this.blackhole(port)
      else if (spec.kind === 'udp') this.collectors.push(await serveUdp(port, name, this.state, spec.script ?? ''))
      else await this.listen(name, spec, port)
    }
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    for (const child of this.children) child.kill('SIGKILL')
    for (const collector of this.collectors) collector.close()
    await Promise.all(this.servers.map(server => new Promise(resolve => server.close(resolve))))
    for (const port of this.ports.values()) releasePort(port)
  }

  private listen(name: string, spec: UpstreamSpec, port: number): Promise<void> {
    const onConnection = (socket: Socket) => {
      this.sockets.add(socket)
      socket.once('close', () => this.sockets.delete(socket))
      socket.setNoDelay(true)
      if (spec.kind === 'http1') serveHttp1(socket, name, this.state, spec)
      else if (spec.kind === 'h2') serveH2(socket, name, this.state, spec.script ?? null)
      else serveTcp(socket, name, this.state, spec.script ?? 'echo')
    }
    const { tls } = spec
    const server =
      tls === undefined
        ? createServer({ allowHalfOpen: true }, onConnection)
        : createTlsServer(
            {
              allowHalfOpen: true,
              cert: readFileSync(certificatePath(`${tls.certificate}.pem`)),
              key: readFileSync(certificatePath(`${tls.certificate}.key`)),
              ca: readFileSync(certificatePath('ca.pem')),
              requestCert: tls.requireClient === true,
              rejectUnauthorized: tls.requireClient === true,
              ALPNProtocols: [...(tls.alpn ?? [])],
            },
            onConnection,
          )
    server.on('tlsClientError', () => {})
    this.servers.push(server)
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', () => resolve())
    })
  }

  /** A stopped process with a full accept queue: the kernel drops further SYNs, so connecting takes for ever. */
  private async blackhole(port: number): Promise<void> {
    const source = `require('net').createServer().listen({port:${port},host:'127.0.0.1',backlog:1},()=>console.log('up'))`
    const child = spawn(process.execPath, ['-e', source], { stdio: ['ignore', 'pipe', 'ignore'] })
    this.children.push(child)
    await new Promise(resolve => child.stdout.once('data', resolve))
    child.kill('SIGSTOP')
    for (let filled = 0; filled < 4; filled++) {
      const socket = connect({ port, host: '127.0.0.1' })
      socket.on('error', () => {})
      this.sockets.add(socket)
    }
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}
