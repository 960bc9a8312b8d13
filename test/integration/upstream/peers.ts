import { createSocket } from 'node:dgram'
import http from 'node:http'
import http2 from 'node:http2'
import net, { type AddressInfo } from 'node:net'
import dns, { type Packet } from 'dns-packet'

/** A server whose health the test decides. */
export interface Patient {
  readonly port: number
  healthy: boolean
  close(): void
}

async function listening(server: net.Server, patient: (port: number) => Patient): Promise<Patient> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return patient((server.address() as AddressInfo).port)
}

export function http1Patient(): Promise<Patient> {
  let self: Patient | null = null
  const server = http.createServer((_, response) => response.writeHead(self?.healthy === false ? 503 : 200).end())
  return listening(server, port => {
    self = { port, healthy: true, close: () => server.close(() => {}) && server.closeAllConnections() }
    return self
  })
}

/** HTTP/2 with prior knowledge; `grpc`: grpc.health.v1.Health/Check. */
export function http2Patient(grpc: boolean): Promise<Patient> {
  let self: Patient | null = null
  const sessions = new Set<http2.ServerHttp2Session>()
  const server = http2.createServer()
  server.on('session', session => {
    sessions.add(session)
    session.on('close', () => sessions.delete(session))
    session.on('error', () => {})
  })
  server.on('stream', (stream: http2.ServerHttp2Stream) => {
    const healthy = self?.healthy !== false
    stream.on('error', () => {})
    if (!grpc) {
      stream.respond({ ':status': healthy ? 200 : 503 }, { endStream: true })
      return
    }
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
    // HealthCheckResponse {status: SERVING = 1, NOT_SERVING = 2}
    stream.end(Buffer.from([0, 0, 0, 0, 2, 8, healthy ? 1 : 2]))
  })
  return listening(server, port => {
    self = {
      port,
      healthy: true,
      close: () => {
        server.close()
        for (const session of sessions) session.destroy()
      },
    }
    return self
  })
}

/** Answers `ping` with `pong`, or with something else. */
export function tcpPatient(): Promise<Patient> {
  let self: Patient | null = null
  const sockets = new Set<net.Socket>()
  const server = net.createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    socket.on('data', () => socket.write(self?.healthy === false ? 'none' : 'pong'))
  })
  return listening(server, port => {
    self = {
      port,
      healthy: true,
      close: () => {
        server.close()
        for (const socket of sockets) socket.destroy()
      },
    }
    return self
  })
}

/** A name server with one answer for every A question. */
export class NameServer {
  ips: readonly string[] = ['127.0.0.1']
  ttl = 1
  failing = false
  questions = 0
  private readonly socket = createSocket('udp4')

  async listen(): Promise<number> {
    this.socket.on('message', (bytes, from) => {
      this.questions++
      const query = dns.decode(bytes)
      const question = query.questions?.[0]
      const answers =
        this.failing || question?.type !== 'A'
          ? []
          : this.ips.map(data => ({ type: 'A', name: question.name, ttl: this.ttl, data }))
      // dns-packet keeps the response code in the low bits of the flags; 2 is SERVFAIL.
      const flags = dns.RECURSION_AVAILABLE | (this.failing ? 2 : 0)
      const packet: Packet = { type: 'response', id: query.id ?? 0, flags, questions: query.questions ?? [], answers }
      this.socket.send(dns.encode(packet), from.port, from.address)
    })
    await new Promise<void>(resolve => this.socket.bind(0, '127.0.0.1', resolve))
    return this.socket.address().port
  }

  close(): void {
    this.socket.close()
  }
}
