import { spawnSync } from 'node:child_process'
import { log } from '../agent/log.ts'
import { IptablesError } from './commands.ts'
import type { IptablesConfig } from './config.ts'

/**
 * Addresses and routes the rules rely on: `::6` on lo (IPv4 has all of 127/8, IPv6 has only ::1), and for TPROXY a
 * table that delivers marked packets locally. Idempotent. Throws IptablesError.
 */
export function configureRoutes(config: IptablesConfig): void {
  if (config.enableIpv6) {
    ip(['-6', 'addr', 'add', '::6/128', 'dev', 'lo'])
    log.info('Added ::6 address on the loopback iface')
  }
  if (config.inboundInterceptionMode !== 'TPROXY' || config.inboundPortsInclude === '') return
  const table = config.inboundTproxyRouteTable
  for (const family of config.enableIpv6 ? ['-4', '-6'] : ['-4']) {
    ip([family, 'rule', 'add', 'fwmark', config.inboundTproxyMark, 'lookup', table])
    ip([family, 'route', 'add', 'local', 'default', 'dev', 'lo', 'table', table])
  }
}

function ip(args: readonly string[]): void {
  const done = spawnSync('ip', args, { encoding: 'utf8', timeout: 10_000 })
  if (done.status === 0 || /File exists|already assigned/.test(done.stderr ?? '')) return
  const why = done.error === undefined ? done.stderr.trim() : done.error.message
  throw new IptablesError(
    `ip ${args.join(' ')} failed: ${why}\n  → needs the iproute2 package and capability NET_ADMIN`,
  )
}
