import { connect, type Socket } from 'node:net'

/** What a raw client saw: everything until the proxy closed, or until nothing had come for `quiet` ms. */
export interface Exchange {
  readonly text: string
  readonly closed: boolean
}

/** `first`: how much longer than that the first byte may take, ms. */
export function exchange(port: number, input: Uint8Array | string, quiet = 400, first = 1000): Promise<Exchange> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    let timer = setTimeout(done, quiet + first, false)
    function done(closed: boolean): void {
      clearTimeout(timer)
      socket.destroy()
      resolve({ text, closed })
    }
    socket.on('data', chunk => {
      text += chunk.toString('latin1')
      clearTimeout(timer)
      timer = setTimeout(done, quiet, false)
    })
    socket.on('end', () => done(true))
    socket.on('error', () => done(true))
    socket.on('close', () => done(true))
    socket.write(typeof input === 'string' ? Buffer.from(input, 'latin1') : input)
  })
}

/** `200 400 close`: the final statuses, and whether the connection was closed. */
export function summary(seen: Exchange): string {
  const statuses = [...seen.text.matchAll(/HTTP\/1\.[01] (\d{3})/g)].map(match => match[1]!)
  return [...statuses, seen.closed ? 'close' : 'open'].join(' ')
}

export function opened(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.off('error', reject)
      socket.on('error', () => {})
      resolve(socket)
    })
    socket.once('error', reject)
  })
}
