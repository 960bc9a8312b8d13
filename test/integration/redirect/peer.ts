/**
 * A process inside a network namespace that the test drives by JSON lines on stdin: serves a database that greets first, HTTP and
 * an echo, and talks to others, as some user.
 */
import { createServer as createHttpServer } from 'node:http'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { createInterface } from 'node:readline'

export type Request =
  | { readonly op: 'serve'; readonly kind: 'database' | 'http' | 'echo'; readonly name: string; readonly port: number }
  /** Says `say` at once, or after the first line when `greeted`; the answer is what came until the other side closed. */
  | {
      readonly op: 'talk'
      readonly host: string
      readonly port: number
      readonly say: string
      readonly greeted: boolean
    }

export interface Reply {
  readonly received?: string
  readonly error?: string
}

const [uid = '0'] = process.argv.slice(2)
if (uid !== '0') {
  process.setgid?.(Number(uid))
  process.setuid?.(Number(uid))
}

/** As MySQL: the server speaks first, and a client that hears nothing says nothing. */
function database(socket: Socket, name: string): void {
  socket.write(`greetings of ${name}\n`)
  socket.once('data', chunk => socket.end(`result of ${chunk.toString().trim()} for ${socket.remoteAddress}\n`))
}

function echo(socket: Socket, name: string): void {
  socket.once('data', chunk => socket.end(`${name} heard ${chunk.toString().trim()} from ${socket.remoteAddress}\n`))
}

function serverOf(kind: 'database' | 'http' | 'echo', name: string): Server {
  if (kind === 'http') {
    return createHttpServer((request, response) => {
      response.end(`${name} answers ${request.url} to ${request.socket.remoteAddress}\n`)
    })
  }
  return createServer({ allowHalfOpen: true }, socket => {
    socket.on('error', () => {})
    if (kind === 'database') database(socket, name)
    else echo(socket, name)
  })
}

function serve(request: Extract<Request, { op: 'serve' }>): Promise<Reply> {
  const server = serverOf(request.kind, request.name)
  return new Promise(resolve => {
    server.once('error', error => resolve({ error: error.message }))
    // Dual stack where there is IPv6, else IPv4.
    server.listen({ port: request.port }, () => resolve({}))
  })
}

function talk(request: Extract<Request, { op: 'talk' }>): Promise<Reply> {
  return new Promise(resolve => {
    const socket = connect(request.port, request.host)
    let received = ''
    let said = false
    const say = (): void => {
      if (!said) socket.write(request.say)
      said = true
    }
    socket.setTimeout(20_000, () => {
      resolve({ received, error: 'timeout' })
      socket.destroy()
    })
    socket.on('connect', () => {
      if (!request.greeted) say()
    })
    socket.on('data', chunk => {
      received += chunk
      if (received.includes('\n')) say()
    })
    socket.on('error', error => resolve({ received, error: (error as NodeJS.ErrnoException).code ?? error.message }))
    socket.on('close', () => resolve({ received }))
  })
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line) as Request
  const reply = request.op === 'serve' ? await serve(request) : await talk(request)
  process.stdout.write(`${JSON.stringify(reply)}\n`)
}
process.exit(0)
