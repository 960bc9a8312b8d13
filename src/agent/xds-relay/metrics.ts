import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** Istio's counters of the relay (pkg/istio-agent/metrics). */
export interface RelayMetrics {
  request(): void
  response(): void
  /** No stream could be tried at all: bad certificates. */
  connectionFailure(): void
  istiodTermination(expected: boolean): void
  envoyTermination(expected: boolean): void
  /** Size of a request of the proxy, in bytes. */
  received(bytes: number): void
  wasmConversion(result: string): void
  /** Of all resources of one response, downloads included. Milliseconds. */
  wasmConversionDuration(ms: number): void
}

export function relayMetrics(registry: Registry): RelayMetrics {
  const registers = [registry]
  const counter = (name: string, help: string, labelNames: string[] = []): Counter =>
    new Counter({ name: `istio_agent_${name}`, help, labelNames, registers })
  const requests = counter('xds_proxy_requests', 'The total number of Xds Proxy Requests')
  const responses = counter('xds_proxy_responses', 'The total number of Xds Proxy Responses')
  const failures = counter('istiod_connection_failures', 'The total number of connection failures to Istiod')
  const istiod = counter('istiod_connection_terminations', 'The total number of connection errors to Istiod', ['type'])
  const envoy = counter('envoy_connection_terminations', 'The total number of connection errors from envoy', ['type'])
  const largest = new Gauge({
    name: 'istio_agent_pilot_xds_recv_max',
    help: 'The maximum size request we have received so far.',
    registers,
  })
  const wasm = counter(
    'wasm_config_conversion_count',
    'number of Wasm config conversions and results, including success, no remote load, marshal failure, remote fetch failure, miss remote fetch hint.',
    ['result'],
  )
  const wasmDuration = new Histogram({
    name: 'istio_agent_wasm_config_conversion_duration',
    help: 'Total time in milliseconds istio-agent spends on converting remote load in Wasm config.',
    buckets: Array.from({ length: 15 }, (_, i) => 2 ** i),
    registers,
  })
  let max = 0
  return {
    request: () => requests.inc(),
    response: () => responses.inc(),
    connectionFailure: () => failures.inc(),
    istiodTermination: expected => istiod.inc({ type: expected ? 'cancelled' : 'error' }),
    envoyTermination: expected => envoy.inc({ type: expected ? 'cancelled' : 'error' }),
    received: bytes => {
      if (bytes <= max) return
      max = bytes
      largest.set(max)
    },
    wasmConversion: result => wasm.inc({ result }),
    wasmConversionDuration: ms => wasmDuration.observe(ms),
  }
}
