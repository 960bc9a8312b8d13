import { connect as connectTcp, type Socket } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import { certificate } from '../../harness/certificates.ts'
import type { Step } from './scenarios.ts'

/** What a client sees: common name of the server, status and body, and the `server` header's absence is not looked at. */
export function visit({ port, tls, certificate: name, path = '/' }: NonNullable<Step['visit']>): Promise<string> {
  return new Promise(resolve => {
    let shown = ''
    let text = ''
    const pair = name === undefined ? {} : certificate(name)
    const begin = (): void => {
      socket.write(`GET ${path} HTTP/1.1\r\nHost: lab.test\r\nConnection: close\r\n\r\n`)
    }
    const socket: Socket = tls
      ? connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...pair }, () => {
          shown = `${String((socket as TLSSocket).getPeerCertificate().subject.CN)} `
          begin()
        })
      : connectTcp({ host: '127.0.0.1', port }, begin)
    let over = false
    const end = (what: string): void => {
      if (over) return
      over = true
      socket.destroy()
      resolve(shown + what)
    }
    socket.setTimeout(1000, () => end('silence'))
    socket.on('data', chunk => {
      text += chunk
      const length = /^content-length: (\d+)\r\n/im.exec(text)?.[1]
      if (length !== undefined && text.length === text.indexOf('\r\n\r\n') + 4 + Number(length)) end(seen(text))
    })
    socket.on('end', () => end(text === '' ? 'closed' : seen(text)))
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code === 'ECONNREFUSED' ? 'refused' : 'closed'))
  })
}

/** Status and body, and the headers that filters of scenarios set. */
function seen(text: string): string {
  const [head = '', ...rest] = text.split('\r\n\r\n')
  const [line = '', ...headers] = head.split('\r\n')
  const own = headers.filter(header => header.startsWith('x-'))
  const body = rest.join('\r\n\r\n').replace(/^[0-9a-f]+\r\n|\r\n0\r\n\r\n$/g, '')
  // Details that are empty: Envoy prints nothing, here there are none and a dash says so.
  return [line.split(' ')[1], ...own, body.replace(/^NFCF -$/, 'NFCF ')].join(' ')
}
