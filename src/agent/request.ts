import { ask } from './admin-client.ts'
import { AgentError } from './agent-error.ts'

const ALLOWED_PORTS = [15000, 15004, 15020, 15021]

/**
 * `pilot-agent request METHOD PATH [BODY]`: what istioctl and preStop hooks run inside the container. Prints the body
 * and nothing else, since istioctl parses it. Rejects with AgentError on any status above 399 except 404.
 */
export async function runRequest(
  operands: readonly string[],
  port: number,
  print: (text: Buffer) => void,
): Promise<void> {
  if (operands.length < 2) throw new AgentError('requires at least 2 arg(s): request <method> <path> [<body>]')
  if (!ALLOWED_PORTS.includes(port)) {
    throw new AgentError(`debug port ${port} is not in allowed list [${ALLOWED_PORTS.join(' ')}]`)
  }
  const [method, path, body = ''] = operands as [string, string, string?]
  let answer: Awaited<ReturnType<typeof ask>>
  try {
    answer = await ask({
      method,
      path: `/${path.replace(/^\//, '')}`,
      host: 'localhost',
      port,
      body,
      timeoutMs: 60_000,
    })
  } catch (error) {
    throw new AgentError((error as Error).message)
  }
  if (answer.status > 399 && answer.status !== 404) {
    throw new AgentError(`received unsuccessful status code ${answer.status}: ${answer.body.toString()}`)
  }
  print(answer.body)
  print(Buffer.from('\n'))
}
