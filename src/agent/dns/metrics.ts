import { Counter, Histogram, type Registry } from 'prom-client'
import type { DnsMetrics } from './server.ts'

/** Istio's metrics of the DNS proxy (pkg/dns/client/monitoring.go), under its prefix. */
export function dnsMetrics(registry: Registry): DnsMetrics {
  const registers = [registry]
  const counter = (name: string, help: string): Counter => new Counter({ name: `istio_agent_${name}`, help, registers })
  const requests = counter('dns_requests_total', 'Total number of DNS requests.')
  const upstream = counter('dns_upstream_requests_total', 'Total number of DNS requests forwarded to upstream.')
  const failures = counter('dns_upstream_failures_total', 'Total number of DNS failures.')
  const duration = new Histogram({
    name: 'istio_agent_dns_upstream_request_duration_seconds',
    help: 'Total time in seconds Istio takes to get DNS response from upstream.',
    buckets: [0.001, 0.005, 0.01, 0.1, 1, 5],
    registers,
  })
  return {
    request: () => requests.inc(),
    upstreamRequest: () => upstream.inc(),
    upstreamFailure: () => failures.inc(),
    upstreamDuration: seconds => duration.observe(seconds),
  }
}
