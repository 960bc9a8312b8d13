/**
 * A scripted stand-in for a proxy, only to test the harness itself: it understands just enough of the command line and
 * of one configuration, and does something wrong when told to (`--wrong header|order|body|upstream|log|close|stat|crash`).
 */
import { appendFileSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect, createServer as createTcpServer } from 'node:net'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

interface Config {
  readonly admin: number
  readonly listener: number
  readonly upstream: number
}

const { values } = parseArgs({
  strict: false,
  options: { wrong: { type: 'string', default: '' }, config: { type: 'string', short: 'c', default: '' } },
})
const wrong = String(values.wrong)
const config = JSON.parse(readFileSync(String(values.config), 'utf8')) as Config
let requests = 0

createServer((request, response) => {
  const name = wrong === 'stat' ? 'proxy.request' : 'proxy.requests'
  response.end(request.url?.startsWith('/stats') ? `${name}: ${requests}\nproxy.text: "x"\n` : 'LIVE\n')
}).listen(config.admin, '127.0.0.1')

createTcpServer(socket => {
  socket.on('error', () => socket.destroy())
  socket.on('data', () => {
    if (wrong === 'crash') process.exit(3)
    requests++
    const upstream = connect(config.upstream, '127.0.0.1')
    upstream.write(`GET /x HTTP/1.1\r\nhost: ${wrong === 'upstream' ? 'other.test' : 'lab.test'}\r\n\r\n`)
    upstream.on('error', () => upstream.destroy())
    upstream.once('data', () => {
      upstream.destroy()
      const first = wrong === 'header' ? 'server: fake' : 'server: envoy'
      const second = `date: ${new Date().toUTCString()}`
      const headers = wrong === 'order' ? [second, first] : [first, second]
      const body = wrong === 'body' ? 'hellO' : 'hello'
      socket.write(`HTTP/1.1 200 OK\r\n${headers.join('\r\n')}\r\ncontent-length: 5\r\n\r\n${body}`)
      if (wrong === 'close') socket.end()
      if (wrong !== 'log') appendFileSync(join(process.cwd(), 'access.log'), `code=200 flags=- duration=${requests}\n`)
    })
  })
}).listen(config.listener, '127.0.0.1')
