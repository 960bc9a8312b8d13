import { emptyLog, untilLines } from '../checks/access-log.ts'
import { stats } from '../checks/ask.ts'
import { statsUntil } from '../checks/moved.ts'
import type { Check } from '../result.ts'
import type { Target } from '../target.ts'

/** What the proxy itself had counted at some time. */
export interface Ledger {
  readonly counted: number
  readonly stat: string
}

/** Before the load. Empties the log, so that a long run does not fill the disk. */
export async function openLedger(target: Target): Promise<Ledger> {
  emptyLog(target.sites.log)
  const stat = statOf(target)
  if (stat === null) return { counted: 0, stat: '' }
  return { counted: (await stats(target.sites.admin)).get(stat) ?? 0, stat }
}

/**
 * After the load: every answer that the load generator counted must be in the proxy's own statistics and in its access log.
 * Nothing may have been answered by a path that does less than the configuration says.
 */
export async function settleLedger(target: Target, ledger: Ledger, requests: number): Promise<Check[]> {
  const checks: Check[] = []
  if (ledger.stat !== '') {
    const grownIn = (now: ReadonlyMap<string, number>): number => (now.get(ledger.stat) ?? 0) - ledger.counted
    const grown = grownIn(await statsUntil(target.sites.admin, now => grownIn(now) >= requests))
    checks.push({
      name: 'every request of the load is in the stats',
      passed: grown >= requests,
      detail: `${ledger.stat} grew by ${grown}, the load had ${requests} answers`,
    })
  }
  if (target.configuration.checks.log && target.configuration.checks.kind !== 'tcp') {
    const lines = await untilLines(target.sites.log, requests, target.configuration.checks.logWaitSeconds)
    checks.push({
      name: 'every request of the load is in the access log',
      passed: lines >= requests,
      detail: `${lines} lines, the load had ${requests} answers`,
    })
  }
  emptyLog(target.sites.log)
  return checks
}

function statOf(target: Target): string | null {
  const { checks } = target.configuration
  if (!target.peer.isEnvoy) return null
  if (checks.kind === 'http' || checks.kind === 'grpc') return `http.${checks.statPrefix}.downstream_rq_2xx`
  return null
}
