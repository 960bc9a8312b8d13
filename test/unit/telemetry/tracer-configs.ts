/** Tracers whose collector is cluster `c`, as in the bootstrap; `fields` replace or add. */
export function zipkinOf(fields: object): object {
  return {
    collector_cluster: 'c',
    collector_endpoint: '/api/v2/spans',
    collector_endpoint_version: 'HTTP_JSON',
    ...fields,
  }
}

export function opentelemetryOf(fields: object): object {
  const http = { http_uri: { uri: 'http://otel.test/v1/traces', cluster: 'c', timeout: 1000 } }
  return Object.fromEntries(
    Object.entries({ http_service: http, ...fields }).filter(([, value]) => value !== undefined),
  )
}
