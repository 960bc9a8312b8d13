/** The version of Envoy whose API and behaviour this is. Tools parse the text as `sha/version/status/type/ssl`. */
export const ENVOY_VERSION = '1.40.0'
export const ENVOY_SHA = '9e5580933739775e8bce696a57a2e1bc99368f23'
export const VERSION_TEXT = `${ENVOY_SHA}/${ENVOY_VERSION}/Clean/RELEASE/BoringSSL`
export const HOT_RESTART_VERSION = '11.104'
/** Gauge `server.version`: the first six digits of the hash of the build. */
export const SERVER_VERSION = Number.parseInt(ENVOY_SHA.slice(0, 6), 16)
/** How exporters name themselves: https://opentelemetry.io/docs/specs/otlp/ and "User Agent" of the exporter specification. */
export const OTLP_USER_AGENT = `OTel-OTLP-Exporter-Envoy/${VERSION_TEXT}`
