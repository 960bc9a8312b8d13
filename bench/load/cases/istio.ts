import type { BenchCase } from '../case.ts'
import { ISTIO_INBOUND, ISTIO_OUTBOUND } from '../configurations/istio.ts'
import { wrkCase } from './http1.ts'

export const istioInbound: BenchCase = wrkCase(
  'istio-inbound',
  "HTTP/1.1 through Istio's inbound filter chain and access log",
  ISTIO_INBOUND,
  { connections: 32 },
)

export const istioOutbound: BenchCase = wrkCase(
  'istio-outbound',
  "HTTP/1.1 through Istio's outbound filter chain and access log",
  ISTIO_OUTBOUND,
  { connections: 32, headers: [`Host: ${ISTIO_OUTBOUND.checks.host}`] },
)
