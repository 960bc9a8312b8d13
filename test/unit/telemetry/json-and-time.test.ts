import t from 'tap'
import type { FormatContext } from '../../../src/telemetry/format-context.ts'
import { compileFormat, compileFormatConfig } from '../../../src/telemetry/formatter.ts'
import { responseFlagNames } from '../../../src/telemetry/response-flags.ts'
import { ResponseFlag, StreamInfo } from '../../../src/telemetry/stream-info.ts'
import { compileTimeFormat, isoMilliseconds } from '../../../src/telemetry/time-format.ts'
import { headers } from './contexts.ts'

const info = new StreamInfo()
info.responseCode = 200
info.protocol = 'HTTP/1.1'
const context: FormatContext = {
  info,
  requestHeaders: headers({ path: '/p?a=two%20words' }, [
    'x-quote',
    'say "hi" \\ / \t tab \xe9',
    'x-utf8',
    'caf\xc3\xa9',
  ]),
  responseHeaders: null,
  responseTrailers: null,
  localReplyBody: 'body',
}

function json(value: unknown, omitEmpty = false): string {
  const config = { text: null, json: value, omitEmpty, contentType: '', sortKeys: true, extensions: [] }
  return compileFormatConfig(config).format(context)
}

t.test('JSON: sorted keys at every level, types kept, one line with a line break', t => {
  const format = {
    zeta: '%RESPONSE_CODE%',
    alpha: '%RESPONSE_CODE% x',
    nested: { b: 1, a: [true, null, '%PROTOCOL%'] },
  }
  t.equal(json(format), '{"alpha":"200 x","nested":{"a":[true,null,"HTTP/1.1"],"b":1},"zeta":200}\n')
  t.end()
})

t.test('JSON: missing is null, RESPONSE_FLAGS without flags is "-", mixed text prints a dash', t => {
  t.equal(json({ m: '%REQ(nope)%', f: '%RESPONSE_FLAGS%', x: '<%REQ(nope)%>' }), '{"f":"-","m":null,"x":"<->"}\n')
  t.end()
})

t.test('JSON: omit_empty_values drops null keys and list items, mixed text loses the value', t => {
  t.equal(
    json({ a: '%REQ(nope)%', b: ['x', '%REQ(nope)%', 5, true], c: 'pre %REQ(nope)% post' }, true),
    '{"b":["x",5,true],"c":"pre  post"}\n',
  )
  t.end()
})

t.test(
  'JSON: quotes, backslashes and controls are \\u00XX; invalid UTF-8 is escaped as latin1, valid UTF-8 stays',
  t => {
    t.equal(json({ q: '%REQ(x-quote)%' }), '{"q":"say \\u0022hi\\u0022 \\u005c / \\u0009 tab \\u00e9"}\n')
    t.equal(json({ q: '%REQ(x-utf8)%' }), '{"q":"caf\xc3\xa9"}\n')
    t.end()
  },
)

t.test('text: omit_empty_values prints nothing for missing values but the dash of RESPONSE_FLAGS', t => {
  t.equal(compileFormat('[%REQ(nope)%] [%RESPONSE_FLAGS%]', true).format(context), '[] [-]')
  t.equal(compileFormat('%QUERY_PARAM(a)% %LOCAL_REPLY_BODY%').format(context), 'two words body')
  t.end()
})

t.test('a format without operators is a constant', t => {
  t.equal(compileFormat('100%% plain').constant, '100% plain')
  t.equal(compileFormat('%PROTOCOL%').constant, null)
  t.end()
})

t.test('response flags join in the order they were set', t => {
  const line = compileFormat('%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%')
  const http = new StreamInfo()
  http.setFlag(ResponseFlag.UpstreamRetryLimitExceeded)
  http.setFlag(ResponseFlag.UpstreamRequestTimeout)
  http.setFlag(ResponseFlag.UpstreamRetryLimitExceeded)
  t.equal(
    line.format({ ...context, info: http }),
    'URX,UT UpstreamRetryLimitExceeded,UpstreamRequestTimeout',
    'once each',
  )
  const proxied = new StreamInfo()
  proxied.setFlag(ResponseFlag.UpstreamConnectionFailure)
  proxied.setFlag(ResponseFlag.UpstreamRetryLimitExceeded)
  t.match(line.format({ ...context, info: proxied }), /^UF,URX /)
  proxied.reset()
  t.equal(line.format({ ...context, info: proxied }), '- -')
  t.equal(responseFlagNames(0, false), '-')
  t.end()
})

const WALL = Date.parse('2026-11-21T01:11:41.310Z') + 0.867

t.test('time formats as the real Envoy printed them', t => {
  const expected: Record<string, string> = {
    '%s': '1795223501',
    '%s.%3f': '1795223501.310',
    '%3f': '310',
    '%6f': '310867',
    '%9f': '310867000',
    '%f': '310867000',
    '%s%3f': '1795223501310',
    '%Y/%m/%dT%H:%M:%S%z %s': '2026/11/21T01:11:41+0000 1795223501',
    '%Z': 'UTC',
    '%': '%',
    '%E9q': '%E9q',
    '%E6S': '41.310867',
    '%a, %d %b %Y': 'Sat, 21 Nov 2026',
    '%3f-%6f-%9f': '310-310867-310867000',
    '%q': '%q',
  }
  for (const [format, text] of Object.entries(expected)) t.equal(compileTimeFormat(format)(WALL), text, format)
  t.end()
})

t.test('the default time stamp: the cache gives each millisecond its own text', t => {
  const print = isoMilliseconds('Z')
  t.equal(print(WALL), '2026-11-21T01:11:41.310Z')
  t.equal(print(WALL + 1), '2026-11-21T01:11:41.311Z')
  t.equal(print(WALL + 1000), '2026-11-21T01:11:42.310Z')
  t.equal(print(WALL), '2026-11-21T01:11:41.310Z')
  t.end()
})
