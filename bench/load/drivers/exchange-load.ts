import type { Plan, Sample } from '../case.ts'
import { asLoad } from '../pinning.ts'
import { nodeCommand } from '../place.ts'
import { treeCpuSeconds } from '../processes/tree.ts'
import type { Target } from '../target.ts'
import { HeldDriver } from './held.ts'

export interface ExchangeOptions {
  readonly kind: 'tcp' | 'http'
  readonly connections: number
  /** With TLS and a client certificate. */
  readonly mutualTls: boolean
}

export function exchangeArguments(options: ExchangeOptions, seconds: number): string[] {
  const size = ['--kind', options.kind, '--connections', String(options.connections), '--seconds', String(seconds)]
  return options.mutualTls ? [...size, '--tls'] : size
}

/** Connecting and its handshakes are over when the counting begins. */
export async function exchangeLoad(options: ExchangeOptions, target: Target, plan: Plan): Promise<Sample> {
  const client = target.sites.certificates?.client
  const identity = options.mutualTls && client !== undefined ? ['--cert', client.cert, '--key', client.key] : []
  const argv = [...exchangeArguments(options, plan.seconds), '--port', String(target.sites.listen), ...identity]
  const driver = new HeldDriver(asLoad(plan.pinning, nodeCommand('drivers/exchange', ...argv)))
  try {
    await driver.line(20)
    const before = treeCpuSeconds(target.process.pid)
    driver.go()
    const result = JSON.parse(await driver.line(plan.seconds + 20)) as {
      count: number
      errors: number
      seconds: number
    }
    return { ...result, cpuSeconds: treeCpuSeconds(target.process.pid) - before }
  } finally {
    await driver.end()
  }
}
