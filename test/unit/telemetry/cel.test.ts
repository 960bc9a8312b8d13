import t from 'tap'
import { CEL_ATTRIBUTES, parseCel } from '../../../src/config/cel.ts'
import { compileCel, printCel } from '../../../src/telemetry/cel.ts'
import { attributeReader } from '../../../src/telemetry/cel-attributes.ts'
import { StreamInfo } from '../../../src/telemetry/stream-info.ts'
import { WorkloadMetadata } from '../../../src/telemetry/workload-metadata.ts'
import { request, response } from '../http/fakes.ts'

const NODE = { id: 'n', cluster: 'c', region: '', zone: '', subZone: '', metadata: { NAMESPACE: 'ns' } }

function run(text: string, prepare: (info: StreamInfo) => void = () => undefined): unknown {
  const node = parseCel(text)
  if (typeof node === 'string') return `refused: ${node}`
  const program = compileCel(node)
  if (typeof program === 'string') return `refused: ${program}`
  const info = new StreamInfo()
  info.responseCode = 404
  info.protocol = 'HTTP/1.1'
  prepare(info)
  const requestHeaders = request({ ':path': '/a/b?q=1', 'x-a': 'one', 'x-utf8': '\xc3\xa9' })
  const context = { info, requestHeaders, responseHeaders: response(404), responseTrailers: null, localReplyBody: '' }
  return program(context, NODE)
}

t.test('operators and their precedence', async t => {
  const cases: [string, unknown][] = [
    ['1 + 2 * 3', 7],
    ['(1 + 2) * 3', 9],
    ['7 / 2', 3],
    ['7 % 4 - 5', -2],
    ['-3 < 2 && !(1 == 2)', true],
    ['"a" + \'b\' == "ab"', true],
    ['1 > 2 ? "x" : "y"', 'y'],
    ['2 in [1, 2]', true],
    ['[1, 2][1]', 2],
    ['"a\\n\\x41\\u0042" == "a\nAB"', true],
    ['r"\\d" == "\\\\d"', true],
    ['size("abc") + size([1])', 4],
    ['"abc".startsWith("ab") && "abc".endsWith("bc") && "abc".contains("b") && "abc".matches("b.?")', true],
    ['string(12) + "x"', '12x'],
    ['int("12") + 1', 13],
    ['1 / 0', undefined],
    ['null == null', true],
  ]
  for (const [text, value] of cases) t.equal(run(text), value, text)
})

t.test('attributes of requests, responses, metadata and the node', async t => {
  const cases: [string, unknown][] = [
    ['response.code >= 400', true],
    ['request.url_path', '/a/b'],
    ['request.query', 'q=1'],
    ['request.host', 'lab.test'],
    ['request.headers["x-a"]', 'one'],
    ["request.headers['X-A']", 'one'],
    ['request.headers["x-utf8"]', 'é'],
    ['has(request.headers.none)', false],
    ['"x-a" in request.headers', true],
    ['request.protocol', 'HTTP/1.1'],
    ['xds.node.metadata.NAMESPACE', 'ns'],
    ['node.metadata["NAMESPACE"] == "ns"', true],
    ['metadata.filter_metadata.f.k', 'v'],
    ['xds.cluster_metadata.filter_metadata.istio.external', true],
    ['filter_state.downstream_peer.workload', 'sleep'],
    ['filter_state["downstream_peer"].labels["role"]', 'client'],
    ['source.address', undefined],
  ]
  for (const [text, value] of cases) {
    const found = run(text, info => {
      info.mergeMetadata('f', { k: 'v' })
      info.clusterMetadata = { istio: { external: true } }
      info.setState('downstream_peer', new WorkloadMetadata({ workload: 'sleep', labels: [['role', 'client']] }))
    })
    t.equal(found, value, text)
  }
})

t.test('an error on one side of a disjunction does not matter when the other side decides', async t => {
  t.equal(run('request.headers["none"] == "x" || true'), true)
  t.equal(run('true || request.headers["none"] == "x"'), true)
  t.equal(run('request.headers["none"] == "x" && false'), false)
  t.equal(run('request.headers["none"] == "x" || false'), undefined)
})

t.test('what is not CEL, or not the part of it that is supported, is refused', async t => {
  const bad = [
    '',
    '1 +',
    '(1',
    'a.b',
    'request',
    'request.nothing',
    'foo(1)',
    'size()',
    '"a',
    '1 2',
    '[1',
    'x ? 1',
    '#',
  ]
  for (const text of [...bad, 'has(1)', `${'('.repeat(100)}1${')'.repeat(100)}`, ' '.repeat(5000)]) {
    t.match(String(run(text)), /^refused: /, text.slice(0, 30))
  }
})

t.test('every attribute that parses can be read', async t => {
  for (const [root, fields] of Object.entries(CEL_ATTRIBUTES)) {
    for (const field of fields ?? [null]) t.ok(attributeReader(root, field), `${root}.${field}`)
  }
})

t.test('values in texts', async t => {
  t.same(
    [printCel('a'), printCel(12), printCel(1.5), printCel(true), printCel(null)],
    ['a', '12', '1.500000', 'true', 'NULL'],
  )
})
