import { createServer } from 'node:net'

/** Loopback ports for test peers: below the ephemeral range, so no outgoing connection can take one first. */
const FIRST = Number(process.env['PARITY_FIRST_PORT'] ?? 20000)
const COUNT = Number(process.env['PARITY_PORT_COUNT'] ?? 2000)

const taken = new Set<number>()
// Two runs at once start at different places, so that they rarely meet.
let next = (process.pid * 61) % COUNT

/** A port of 127.0.0.1 nobody listens on now; never handed out twice by this process. All have five digits. */
export async function allocatePort(): Promise<number> {
  for (let tries = 0; tries < COUNT; tries++) {
    const port = FIRST + (next++ % COUNT)
    if (!taken.has(port) && (await isFree(port))) {
      taken.add(port)
      return port
    }
  }
  throw new Error(`no free port in ${FIRST}..${FIRST + COUNT - 1}`)
}

/** Gives a port back when its group has ended; it is reused only after all others were. */
export function releasePort(port: number): void {
  taken.delete(port)
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}
