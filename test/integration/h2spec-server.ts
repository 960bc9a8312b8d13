/** A server made of the HTTP/2 codec alone: `node h2spec-server.ts PORT`. Answers every request with 200 and a short body. */
import { createServer } from 'node:net'
import { serveHttp2 } from './http2-codec-server.ts'

const port = Number(process.argv[2] ?? 23100)
createServer(socket => serveHttp2(socket)).listen(port, '127.0.0.1', () => console.log(`listening on ${port}`))
