import { AgentError } from './agent-error.ts'

/** One page of metrics of the application. */
export interface ScrapeTarget {
  readonly port: number
  /** With a leading slash. */
  readonly path: string
}

/** Ports of agent and proxy (istioReservedPorts): their pages are merged already, or are none. */
export const RESERVED_PORTS: Readonly<Record<number, string>> = {
  15000: 'Envoy admin',
  15001: 'outbound traffic capture',
  15004: 'pilot debug',
  15006: 'inbound traffic capture',
  15008: 'HBONE tunnel',
  15020: 'pilot-agent status / merged Prometheus',
  15021: 'Envoy health',
  15053: 'DNS proxy',
  15090: 'Envoy Prometheus (already merged)',
}

const VARIABLE = 'ISTIO_PROMETHEUS_ANNOTATIONS'
const INVALID = `${VARIABLE}: invalid prometheus scrape configuration`

interface Configuration {
  readonly scrape?: string
  readonly path?: string
  readonly port?: string
  readonly targets?: readonly { readonly port?: string; readonly path?: string }[]
}

/**
 * ISTIO_PROMETHEUS_ANNOTATIONS, written by the injector: `{"scrape":"true","path":"/metrics","port":"80"}`, or with `targets`, which
 * come before the other two (status/server.go, NewServer). Throws AgentError.
 */
export function scrapeTargets(text: string | undefined, statusPort: number): ScrapeTarget[] {
  if (text === undefined || text === '') return []
  let value: Configuration
  try {
    value = JSON.parse(text) as Configuration
  } catch (error) {
    throw new AgentError(`${VARIABLE} is not JSON: ${(error as Error).message}`)
  }
  if (value.scrape === 'false') return []
  const targets = value.targets ?? []
  if (targets.length === 0) return [target(value.port || '80', value.path, statusPort)]
  return targets.map(({ port = '', path }) => target(port, path, statusPort))
}

function target(text: string, path: string | undefined, statusPort: number): ScrapeTarget {
  const port = /^[0-9]{1,6}$/.test(text) ? Number(text) : 0
  if (port < 1 || port > 65535) throw new AgentError(`${INVALID}: invalid target port "${text}"`)
  if (port === statusPort) {
    throw new AgentError(`${INVALID}: target port ${text} is the agent's own, which would scrape itself for ever`)
  }
  const reserved = RESERVED_PORTS[port]
  if (reserved !== undefined) {
    throw new AgentError(`${INVALID}: target port ${text} is reserved for Istio (${reserved}) and cannot be scraped`)
  }
  return { port, path: path || '/metrics' }
}
