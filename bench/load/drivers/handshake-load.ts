import type { Plan, Sample } from '../case.ts'
import { asLoad } from '../pinning.ts'
import { nodeCommand } from '../place.ts'
import { run } from '../processes/run.ts'
import type { Target } from '../target.ts'

const LANES = 4

export function handshakeArguments(resume: boolean, seconds: number): string[] {
  const size = ['--seconds', String(seconds), '--connections', String(LANES)]
  return resume ? [...size, '--resume'] : size
}

export async function handshakeLoad(resume: boolean, target: Target, plan: Plan): Promise<Sample> {
  const argv = [...handshakeArguments(resume, plan.seconds), '--port', String(target.sites.listen)]
  const command = asLoad(plan.pinning, nodeCommand('drivers/handshakes', ...argv))
  const result = JSON.parse(await run(command, plan.seconds + 20)) as {
    count: number
    resumed: number
    errors: number
    seconds: number
    protocol: string
    cipher: string
  }
  // A first connection per lane has nothing to resume yet.
  if (resume && result.resumed < result.count - LANES * 2)
    plan.notes.push(`${target.peer.id}: only ${result.resumed} of ${result.count} handshakes were resumed`)
  const kind = `${target.peer.id}: ${result.protocol}, ${result.cipher}`
  if (!plan.notes.includes(kind)) plan.notes.push(kind)
  return { seconds: result.seconds, count: result.count, errors: result.errors, extra: { resumed: result.resumed } }
}
