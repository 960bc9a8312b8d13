import { connect } from 'node:net'
import type { Check } from '../result.ts'
import type { Target } from '../target.ts'
import { untilLines } from './access-log.ts'
import { stats } from './ask.ts'
import { Checks } from './checks.ts'
import { checkMoved } from './moved.ts'

/** Bytes must come back, be counted and, once the connection has ended, be logged. */
export async function checkTcp(target: Target): Promise<Check[]> {
  const checks = new Checks()
  const { peer, sites, configuration } = target
  const before = peer.isEnvoy ? await stats(sites.admin) : new Map<string, number>()
  const lines = await untilLines(sites.log, 1, 0)
  const echoed = await echo(sites.listen, 'ping through the proxy')
  checks.add('bytes come back', echoed === 'ping through the proxy', JSON.stringify(echoed))
  const logged = await untilLines(sites.log, lines + 1, configuration.checks.logWaitSeconds)
  checks.add('access log line', logged > lines, `${logged - lines} more`)
  if (!peer.isEnvoy) return checks.list
  const tcp = `tcp.${configuration.checks.statPrefix}`
  await checkMoved(checks, sites.admin, before, [
    `${tcp}.downstream_cx_total`,
    `${tcp}.downstream_cx_rx_bytes_total`,
    `cluster.${configuration.checks.cluster}.upstream_cx_tx_bytes_total`,
  ])
  return checks.list
}

function echo(port: number, text: string): Promise<string> {
  return new Promise(resolve => {
    let seen = ''
    const socket = connect({ host: '127.0.0.1', port, timeout: 5000 })
    socket.setEncoding('latin1')
    socket.on('connect', () => socket.write(text))
    socket.on('data', chunk => {
      seen += chunk
      if (seen.length >= text.length) socket.end()
    })
    socket.on('timeout', () => socket.destroy())
    socket.on('error', () => resolve(seen))
    socket.on('close', () => resolve(seen))
  })
}
