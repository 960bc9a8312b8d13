import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { createServer, type Server, type Socket } from 'node:net'
import dns, { type Answer } from 'dns-packet'
import { allocatePort } from '../../harness/ports.ts'

/** As Istio's test has it: 64 addresses under a name that is not the one asked for. */
export function giantAnswers(count: number): Answer[] {
  return Array.from({ length: count }, (_, i) => ({
    type: 'A',
    name: 'aaaaaaaaaaaa.aaaaaa',
    ttl: 30,
    data: `240.0.0.${i}`,
  }))
}

/** A name server on 127.0.0.1, UDP and TCP on one port. */
export class FakeNameServer {
  /** Says nothing at all. */
  silent = false
  questions = 0
  port = 0
  readonly #udp: UdpSocket = createSocket('udp4')
  readonly #tcp: Server
  readonly #sockets = new Set<Socket>()

  constructor() {
    this.#udp.on('message', (bytes, from) => {
      const answer = this.#answer(bytes)
      if (answer !== null) this.#udp.send(answer, from.port, from.address)
    })
    this.#tcp = createServer(socket => {
      this.#sockets.add(socket)
      socket.on('error', () => {})
      socket.on('data', (bytes: Buffer) => {
        const answer = this.#answer(bytes.subarray(2))
        if (answer === null) return
        const length = Buffer.alloc(2)
        length.writeUInt16BE(answer.length)
        socket.end(Buffer.concat([length, answer]))
      })
    })
  }

  async listen(): Promise<number> {
    // A port that UDP was given by the system may be in use for TCP.
    this.port = await allocatePort()
    await new Promise<void>(resolve => this.#udp.bind(this.port, '127.0.0.1', resolve))
    await new Promise<void>(resolve => this.#tcp.listen(this.port, '127.0.0.1', resolve))
    return this.port
  }

  close(): void {
    this.#udp.close()
    this.#tcp.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #answer(bytes: Uint8Array): Uint8Array | null {
    this.questions++
    if (this.silent) return null
    const { id = 0, questions = [] } = dns.decode(bytes)
    const name = questions[0]?.name ?? ''
    let answers: Answer[] = []
    let flags = 0
    if (name === 'www.bing.com') answers = [{ type: 'A', name, ttl: 30, data: '1.1.1.1' }]
    else if (name === 'giant') answers = giantAnswers(64)
    else if (name === 'giant-tc') {
      // What fits into 512 bytes with names compressed; this encoder does not compress.
      answers = giantAnswers(29)
      flags = 0x200
    } else flags = 3
    const plain = Buffer.from(dns.encode({ type: 'response', id, flags, questions, answers }))
    return name === 'giant-tc' ? compressed(plain, questions[0]!.name.length + 2, answers) : plain
  }
}

/** The same answers with the owner of all but the first as a pointer to it. */
function compressed(plain: Buffer, nameLength: number, answers: readonly Answer[]): Buffer {
  const first = 12 + nameLength + 4
  const owner = answers[0]!.name.length + 2
  const parts = [plain.subarray(0, first + owner + 14)]
  for (let i = 1; i < answers.length; i++) {
    const at = first + i * (owner + 14) + owner
    parts.push(Buffer.from([0xc0, first]), plain.subarray(at, at + 14))
  }
  return Buffer.concat(parts)
}
