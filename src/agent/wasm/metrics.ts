import { Counter, Gauge, type Registry } from 'prom-client'

/** Istio's counters of modules (pkg/wasm/monitoring.go). */
export interface WasmMetrics {
  lookup(hit: boolean): void
  fetched(result: 'success' | 'download_failure' | 'manifest_failure' | 'checksum_mismatched' | 'fetch_failure'): void
  entries(count: number): void
}

export function wasmMetrics(registry: Registry): WasmMetrics {
  const registers = [registry]
  const entries = new Gauge({
    name: 'istio_agent_wasm_cache_entries',
    help: 'number of Wasm remote fetch cache entries.',
    registers,
  })
  const lookups = new Counter({
    name: 'istio_agent_wasm_cache_lookup_count',
    help: 'number of Wasm remote fetch cache lookups.',
    labelNames: ['hit'],
    registers,
  })
  const fetches = new Counter({
    name: 'istio_agent_wasm_remote_fetch_count',
    help: 'number of Wasm remote fetches and results, including success, download failure, and checksum mismatch.',
    labelNames: ['result'],
    registers,
  })
  return {
    lookup: hit => lookups.inc({ hit: String(hit) }),
    fetched: result => fetches.inc({ result }),
    entries: count => entries.set(count),
  }
}
