import { connect, createServer, isIPv6, type Server } from 'node:net'
import { log } from '../agent/log.ts'
import { originalDestination } from '../io/original-dst.ts'

export interface ValidationOptions {
  /** -p and -z: where the rules should deliver. */
  readonly ports: readonly number[]
  /** A port nobody listens on; a connection to it proves the redirection. */
  readonly probePort: number
  readonly timeoutMs: number
  readonly hostAddress: string
}

const RETRY_MS = 1000

/**
 * The istio-validation container, which runs as the proxy's user: a connection to 127.0.0.6 (or ::6) on the probe port
 * must arrive at one of the proxy's ports with the probe port as its original destination. Resolves to what is wrong.
 */
export async function validateRules(options: ValidationOptions): Promise<string | undefined> {
  log.info(
    'Starting iptables validation. This check verifies that iptables rules are properly established for the network.',
  )
  const ipv6 = isIPv6(options.hostAddress)
  const [listenHost, probeHost] = ipv6 ? ['::1', '::6'] : ['127.0.0.1', '127.0.0.6']
  const arrived = Promise.withResolvers<undefined>()
  const servers: Server[] = []
  for (const port of options.ports) {
    const server = await listen(listenHost, port, ipv6, options.probePort, () => arrived.resolve(undefined))
    if (server !== undefined) servers.push(server)
  }
  if (servers.length === 0) return `no listener available: ${options.ports.map(p => `${listenHost}:${p}`).join(',')}`

  const probe = (): void => {
    const socket = connect({ host: probeHost, port: options.probePort, localAddress: listenHost })
    socket.on('connect', () => socket.destroy())
    socket.on('error', error => log.error(`Error connecting to ${probeHost}:${options.probePort}: ${error.message}`))
  }
  probe()
  const retry = setInterval(probe, RETRY_MS)
  const limit = Promise.withResolvers<string>()
  const timer = setTimeout(() => limit.resolve('validation timeout'), options.timeoutMs)
  const wrong = await Promise.race([arrived.promise, limit.promise])
  clearInterval(retry)
  clearTimeout(timer)
  for (const server of servers) server.close()
  if (wrong === undefined) log.info('Validation passed, iptables rules established')
  return wrong
}

function listen(
  host: string,
  port: number,
  ipv6: boolean,
  probePort: number,
  onProbe: () => void,
): Promise<Server | undefined> {
  log.info(`Listening on ${host}:${port}`)
  return new Promise(resolve => {
    const server = createServer(socket => {
      const fd = (socket as unknown as { _handle?: { fd: number } })._handle?.fd ?? -1
      const original = originalDestination(fd, ipv6)
      socket.on('error', () => {})
      socket.destroy()
      if (original?.port === probePort) onProbe()
    })
    server.once('error', error => {
      log.error(`Error on listening: ${error.message}`)
      resolve(undefined)
    })
    server.listen({ host, port }, () => resolve(server))
  })
}
