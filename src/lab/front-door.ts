import { createServer, type Server } from 'node:http'
import proxy from 'http2-proxy'

/** `http://localhost:PORT/` for a browser: forwards to a listener of the client's sidecar. Resolves to the port. */
export class FrontDoor {
  readonly #server: Server

  constructor(host: string, port: number) {
    this.#server = createServer((request, response) => {
      proxy.web(request, response, { hostname: host, port }, error => {
        if (error === null || error === undefined || response.headersSent) return
        response.writeHead(502, { 'content-type': 'text/plain' })
        response.end(`the client's sidecar at ${host}:${port} does not answer: ${error.message}\n`)
      })
    })
  }

  /** `wanted`, or any free port when it is taken. */
  async listen(wanted: number): Promise<number> {
    for (const port of [wanted, 0]) {
      const bound = await new Promise<number | undefined>(resolve => {
        this.#server.once('error', () => resolve(undefined))
        this.#server.listen(port, '127.0.0.1', () => resolve((this.#server.address() as { port: number }).port))
      })
      if (bound !== undefined) return bound
    }
    throw new Error('no free port for the front door')
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}
