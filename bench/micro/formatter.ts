/** Access-log lines: `node bench/micro/formatter.ts`. */
import { randomUUID } from 'node:crypto'
import { HeaderBlock } from '../../src/codec/header-block.ts'
import { DEFAULT_ACCESS_LOG_FORMAT } from '../../src/telemetry/access-loggers/file.ts'
import type { Formatter } from '../../src/telemetry/format-context.ts'
import { compileFormat, compileFormatConfig } from '../../src/telemetry/formatter.ts'
import { StreamInfo } from '../../src/telemetry/stream-info.ts'
import { measure as measureRounds } from './reference.ts'

const info = new StreamInfo()
Object.assign(info, {
  startWall: Date.now(),
  start: 1000,
  end: 1001,
  protocol: 'HTTP/1.1',
  responseCode: 200,
  bytesSent: 672,
  upstreamHost: '127.0.0.1:18102',
  routeName: 'default',
  upstreamClusterName: 'outbound|80||svc',
})
const requestHeaders = new HeaderBlock()
Object.assign(requestHeaders, { method: 'GET', path: '/api/x?a=1', authority: 'lab.test:8080' })
requestHeaders.list = [
  'user-agent',
  'curl/8',
  'accept',
  '*/*',
  'x-forwarded-for',
  '192.0.2.2',
  'x-request-id',
  'cd1437e1',
]
const responseHeaders = new HeaderBlock()
responseHeaders.status = 200
responseHeaders.list = ['content-type', 'text/plain', 'x-envoy-upstream-service-time', '1']
const context = { info, requestHeaders, responseHeaders, responseTrailers: null, localReplyBody: '' }

const ROUND = 20_000
/** Where a line goes: its pieces are only put together then. */
const LINE = Buffer.alloc(4096)
const IDS = Array.from({ length: ROUND }, () => randomUUID())

function measure(name: string, formatter: Formatter): void {
  let bytes = 0
  measureRounds(
    name,
    () => {
      for (let i = 0; i < ROUND; i++) {
        // Twenty lines to the millisecond, each with its own request id.
        if (i % 20 === 0) info.startWall++
        requestHeaders.list[7] = IDS[i]!
        info.end = 1000 + (i % 3 === 0 ? 2 : 1)
        bytes += LINE.write(formatter.format(context), 0, 'latin1')
      }
    },
    ROUND,
  )
  if (bytes === 0) throw new Error('nothing formatted')
}

const ISTIO =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% ' +
  '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ' +
  '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% ' +
  '%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n'

measure("Envoy's default", compileFormat(DEFAULT_ACCESS_LOG_FORMAT))
measure("Istio's text format", compileFormat(ISTIO))
const json = Object.fromEntries([...ISTIO.matchAll(/%([A-Z_]+)(\([^)]*\))?%/g)].map(m => [m[1]!.toLowerCase(), m[0]]))
measure(
  "Istio's fields as JSON",
  compileFormatConfig({ text: null, json, omitEmpty: false, contentType: '', sortKeys: true, extensions: [] }),
)
