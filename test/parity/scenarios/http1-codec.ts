import { bootstrap, cluster, downstreamTls, httpListener } from '../configs/builder.ts'
import { type Group, get, raw, requestBytes, scenario } from '../scenario.ts'

/** HTTP/1.1 framing and the codec's own answers. */
const ROUTES = `
- {match: {path: /ws}, route: {cluster: a, upgrade_configs: [{upgrade_type: websocket}]}}
- {match: {path: /uf}, route: {cluster: closed}}
- {match: {prefix: /}, route: {cluster: a}}
`
const HOST = 'HTTP/1.1\r\nHost: lab.test\r\n'
const head = (rest: string) => raw(`GET /ok ${HOST}${rest}`)
const post = (rest: string, options = {}) => raw(`POST /ok ${HOST}${rest}`, options)
const many = (count: number) => Array.from({ length: count }, (_, i) => `x-${i}: 1\r\n`).join('')

const group: Group = {
  name: 'http1-codec',
  upstreams: { a: { kind: 'http1' } },
  config: bootstrap(
    [
      httpListener('main', { routes: ROUTES, domains: ['lab.test'] }),
      httpListener('tls', {
        routes: ROUTES,
        transport: downstreamTls(
          'common_tls_context: {tls_certificates: [{certificate_chain: {filename: $cert(server.pem)}, private_key: {filename: $cert(server.key)}}]}',
        ),
      }),
    ],
    [cluster('a', 'a'), cluster('closed', 'nobody')],
  ),
  scenarios: [
    scenario('garbage-line', 'A request line that is none', raw('BAD\r\n\r\n'), ['garbage line']),
    scenario('random-bytes', 'A TLS hello to a plaintext listener', raw('\x16\x03\x01\x00\x05hello\r\n\r\n'), [
      'random bytes',
    ]),
    scenario('missing-host', 'HTTP/1.1 without host', raw('GET / HTTP/1.1\r\n\r\n'), ['missing host HTTP/1.1']),
    scenario('empty-host', 'An empty host matches no virtual host', raw('GET / HTTP/1.1\r\nHost: \r\n\r\n'), [
      'empty host',
    ]),
    scenario('two-hosts', 'Two hosts are joined by a comma', raw(`GET / ${HOST}Host: b\r\n\r\n`), ['two hosts']),
    scenario('http10', 'HTTP/1.0 is refused by default', raw('GET /ok HTTP/1.0\r\nHost: lab.test\r\n\r\n'), [
      'HTTP/1.0 with host',
    ]),
    scenario('http10-no-host', 'HTTP/1.0 without host', raw('GET /ok HTTP/1.0\r\n\r\n'), ['HTTP/1.0 no host']),
    scenario('http09', 'HTTP/0.9', raw('GET /ok\r\n\r\n'), ['HTTP/0.9']),
    scenario('http12', 'HTTP/1.2', raw('GET /ok HTTP/1.2\r\nHost: lab.test\r\n\r\n'), ['HTTP/1.2']),
    scenario('http20-line', 'HTTP/2.0 in a request line', raw('GET /ok HTTP/2.0\r\nHost: lab.test\r\n\r\n'), [
      'HTTP/2.0 in h1',
    ]),
    scenario('http37-line', 'HTTP/3.7 in a request line', raw('GET /ok HTTP/3.7\r\nHost: lab.test\r\n\r\n'), [
      'HTTP/3.7',
    ]),
    scenario('bare-lf', 'Lines that end in LF only are accepted', raw('GET /ok HTTP/1.1\nHost: lab.test\n\n'), [
      'bare LF line ends',
    ]),
    scenario('no-colon', 'A header line without colon', head('nocolon\r\n\r\n'), ['header without colon']),
    scenario('space-before-colon', 'A blank before the colon', head('x-a : 1\r\n\r\n'), ['space before colon']),
    scenario('obs-fold', 'A folded header is joined by a blank', head('x-a: 1\r\n 2\r\n\r\n'), ['obs-fold']),
    scenario('nul-in-value', 'NUL in a value', head('x-a: a\x00b\r\n\r\n'), ['NUL in value']),
    scenario('cr-in-value', 'A bare CR in a value', head('x-a: a\rb\r\n\r\n')),
    scenario('high-byte-in-value', 'Bytes above 127 in a value', head('x-a: \xc3\xa9\r\n\r\n'), ['high byte in value']),
    scenario('bad-name-character', 'A parenthesis in a name', head('x(a: 1\r\n\r\n'), ['bad header name char']),
    scenario('empty-name', 'A header without a name', head(': 1\r\n\r\n'), ['empty header name']),
    scenario('blanks-around-value', 'Blanks around a value are cut', head('x-a: \t a b \t\r\nX-B:\r\n\r\n')),
    scenario('unknown-method', 'A method nobody registered', raw(`FOO /ok ${HOST}\r\n`), ['unknown method FOO']),
    scenario('lowercase-method', 'Methods are case-sensitive', raw(`get /ok ${HOST}\r\n`), ['lowercase method']),
    scenario('purge-method', 'PURGE is known', raw(`PURGE /ok ${HOST}\r\n`), ['PURGE method']),
    scenario('negative-length', 'content-length: -1', post('content-length: -1\r\n\r\n'), ['content-length negative']),
    scenario('text-length', 'content-length: abc', post('content-length: abc\r\n\r\n'), ['content-length text']),
    scenario('plus-length', 'content-length: +1', post('content-length: +1\r\n\r\na')),
    scenario('two-lengths', 'Two lengths that differ', post('content-length: 1\r\ncontent-length: 2\r\n\r\nab'), [
      'two content-lengths differ',
    ]),
    scenario('two-equal-lengths', 'Two equal lengths', post('content-length: 1\r\ncontent-length: 1\r\n\r\na'), [
      'two content-lengths same',
    ]),
    scenario(
      'te-and-length',
      'transfer-encoding and content-length',
      post('transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n'),
      ['TE chunked + CL'],
    ),
    scenario('te-gzip', 'transfer-encoding: gzip', post('transfer-encoding: gzip\r\n\r\n'), ['TE gzip']),
    scenario(
      'te-gzip-chunked',
      'transfer-encoding: gzip, chunked',
      post('transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n'),
      ['TE gzip, chunked'],
    ),
    scenario(
      'te-chunked-case',
      'transfer-encoding is compared without case',
      post('Transfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n'),
    ),
    scenario(
      'bad-chunk-size',
      'A chunk size that is no number',
      post('transfer-encoding: chunked\r\n\r\nzz\r\n'),
      ['bad chunk size'],
      {
        upstream: false,
      },
    ),
    scenario(
      'chunk-extension',
      'Chunk extensions are dropped',
      post('transfer-encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\n\r\n'),
    ),
    scenario(
      'request-trailers',
      'Request trailers are dropped',
      post('transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n'),
      ['chunked with trailers'],
    ),
    scenario('post-without-length', 'A POST without a body gets content-length: 0', post('\r\n'), ['POST no length']),
    scenario('post-with-length', 'A body with content-length', get('/ok', { method: 'POST', body: 'hello' })),
    scenario('get-with-body', 'A GET may have a body', get('/ok', { body: 'hello' })),
    scenario('large-body', 'A body of 300 KB', get('/ok', { method: 'PUT', body: 'y'.repeat(300_000) })),
    scenario('large-response', 'An answer of 300 KB', get('/ok', { up: 'body:300000' })),
    scenario(
      'absolute-form',
      'The authority of an absolute URI wins',
      raw('GET http://lab.test/abs?x=1 HTTP/1.1\r\nHost: other\r\n\r\n'),
      ['absolute-form URI'],
    ),
    scenario('absolute-form-https', 'The scheme of an absolute URI', raw(`GET https://lab.test/abs ${HOST}\r\n`), [
      'absolute-form https',
    ]),
    scenario('options-star', 'OPTIONS *', raw(`OPTIONS * ${HOST}\r\n`), ['OPTIONS *']),
    scenario('get-star', 'GET *', raw(`GET * ${HOST}\r\n`), ['GET *']),
    scenario('no-leading-slash', 'A relative path', raw(`GET ok ${HOST}\r\n`), ['no leading slash']),
    scenario('fragment', 'A fragment in the path', raw(`GET /ok#frag ${HOST}\r\n`), ['fragment in path']),
    scenario('blank-in-path', 'A blank in the path', raw(`GET /o k ${HOST}\r\n`), ['space in path']),
    scenario('nul-in-path', '%00 in the path', raw(`GET /a%00b ${HOST}\r\n`), ['%00 in path']),
    scenario('bad-percent', 'A percent sign without digits', raw(`GET /a%zz ${HOST}\r\n`), ['invalid percent']),
    scenario('high-byte-in-path', 'A byte above 127 in the path', raw(`GET /a\xe9 ${HOST}\r\n`), [
      'raw high byte in path',
    ]),
    scenario('dot-dot', 'Paths are not normalised by default', raw(`GET /a/../b//c ${HOST}\r\n`), [
      'dot-dot path (no normalize)',
    ]),
    scenario(
      'connect',
      'CONNECT without a connect matcher',
      raw('CONNECT lab.test:443 HTTP/1.1\r\nHost: lab.test:443\r\n\r\n'),
      ['CONNECT'],
    ),
    scenario(
      'upgrade-h2c',
      'An h2c upgrade is ignored',
      head('connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n'),
      ['Upgrade h2c'],
    ),
    scenario(
      'expect-continue',
      '100 is sent at once and expect removed',
      raw([`POST /ok ${HOST}expect: 100-continue\r\ncontent-length: 2\r\n\r\n`, { bytes: 20 }, 'hi']),
      ['Expect 100-continue'],
    ),
    scenario('expect-other', 'Another expectation passes', head('expect: foo\r\n\r\n'), ['Expect other']),
    scenario('connection-close', 'connection: close ends the connection', head('connection: close\r\n\r\n'), [
      'connection close',
    ]),
    scenario('connection-keep-alive', 'connection: keep-alive goes', head('connection: keep-alive\r\n\r\n'), [
      'connection keep-alive',
    ]),
    scenario('proxy-connection-close', 'proxy-connection: close', head('proxy-connection: close\r\n\r\n'), [
      'proxy-connection close',
    ]),
    scenario(
      'connection-nominated',
      'Headers named by connection',
      head('connection: x-a, close\r\nx-a: 1\r\nkeep-alive: timeout=5\r\nte: trailers\r\n\r\n'),
      ['connection nominated header'],
    ),
    scenario('te-values', 'te: gzip and te: trailers, gzip', [
      head('te: gzip\r\n\r\n'),
      head('te: trailers, gzip\r\n\r\n'),
    ]),
    scenario('header-61k', 'More than 60 KB of headers', head(`x-a: ${'a'.repeat(61 * 1024)}\r\n\r\n`), [
      'header 61KB',
    ]),
    scenario('header-59k', 'Just below 60 KB', head(`x-a: ${'a'.repeat(59 * 1024)}\r\n\r\n`)),
    scenario('url-61k', 'A path of 61 KB', raw(`GET /${'a'.repeat(61 * 1024)} ${HOST}\r\n`), ['url 61KB']),
    scenario('headers-101', 'More than 100 headers', head(`${many(101)}\r\n`), ['101 headers']),
    scenario('headers-99', 'Host and 99 more', head(`${many(99)}\r\n`)),
    scenario('underscore', 'Underscores are allowed', head('x_a: 1\r\n\r\n'), ['underscore header']),
    scenario('host-userinfo', 'Userinfo in the host', raw('GET /ok HTTP/1.1\r\nHost: u@lab.test\r\n\r\n'), [
      'host with userinfo',
    ]),
    scenario('host-blank', 'A blank in the host', raw('GET /ok HTTP/1.1\r\nHost: lab test\r\n\r\n'), ['host bad char']),
    scenario('host-case', 'Domains match without case', raw('GET /ok HTTP/1.1\r\nHost: LAB.Test\r\n\r\n')),
    scenario('host-port', 'A port is part of the host', raw('GET /ok HTTP/1.1\r\nHost: lab.test:80\r\n\r\n')),
    scenario(
      'pipelined',
      'Two requests in one packet are answered in order',
      raw(requestBytes('/a', { up: 'delay:50,ok' }) + requestBytes('/b'), { responses: 2 }),
      ['pipelined two'],
    ),
    scenario(
      'keep-alive',
      'Three requests one after the other',
      raw([requestBytes('/1'), { responses: 1 }, requestBytes('/2'), { responses: 2 }, requestBytes('/3')], {
        responses: 3,
      }),
    ),
    scenario('pipelined-after-error', 'Nothing is read after a bad request', raw(`BAD\r\n\r\n${requestBytes('/a')}`)),
    scenario('leading-crlf', 'Empty lines before a request', raw(`\r\n\r\n${requestBytes('/ok')}`), ['leading CRLF']),
    scenario(
      'split-everywhere',
      'A request that comes in small pieces',
      raw([
        'GET /o',
        { wait: 5 },
        'k HTT',
        { wait: 5 },
        'P/1.1\r',
        { wait: 5 },
        '\nHo',
        { wait: 5 },
        'st: lab.test\r\n\r',
        { wait: 5 },
        '\n',
      ]),
    ),
    scenario(
      'half-closed-client',
      'A client that shuts its write side gets no answer',
      raw([requestBytes('/slow', { up: 'delay:150,ok' }), { end: true }, { closed: true }], { responses: 0 }),
      ['half-closed client'],
      { logLines: 1 },
    ),
    scenario(
      'client-resets',
      'A client that resets while waiting',
      raw([requestBytes('/slow', { up: 'delay:150,ok' }), { wait: 60 }, { reset: true }], { responses: 0 }),
      ['client disconnects while waiting'],
      { logLines: 1 },
    ),
    scenario(
      'client-resets-in-body',
      'A client that resets in its body',
      raw([`POST /ok ${HOST}content-length: 10\r\n\r\nabc`, { wait: 60 }, { reset: true }], { responses: 0 }),
      [],
      { logLines: 1 },
    ),
    scenario(
      'early-response',
      'An answer before the request is complete',
      raw([`POST /ok ${HOST}x-up: early,status:403\r\ncontent-length: 10\r\n\r\nabc`]),
    ),
    scenario(
      'websocket',
      'An allowed upgrade is a tunnel',
      raw(
        [
          `GET /ws ${HOST}x-up: switch\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n`,
          { responses: 1 },
          'hello',
          { wait: 60 },
          { end: true },
          { closed: true },
        ],
        { responses: 0 },
      ),
      ['websocket upgrade ok'],
      { logLines: 1 },
    ),
    scenario(
      'websocket-refused-by-upstream',
      'The upstream does not switch',
      raw(`GET /ws ${HOST}x-up: refuseupgrade\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n`),
      [],
      { logLines: 1 },
    ),
    scenario(
      'websocket-not-allowed',
      'An upgrade that no route allows',
      head('connection: Upgrade\r\nupgrade: websocket\r\n\r\n'),
      ['websocket upgrade not allowed'],
    ),
    scenario('websocket-route-plain', 'A plain request to an upgrade route', get('/ws'), [
      'websocket on non-ws route (plain)',
    ]),
    scenario('upgrade-other', 'An upgrade of another kind', head('connection: Upgrade\r\nupgrade: foo\r\n\r\n')),
    scenario('plaintext-to-tls', 'Plaintext to a TLS listener', raw(requestBytes('/ok'), { listener: 'tls' }), [
      'plaintext to TLS listener',
    ]),
    scenario(
      'upstream-connection-close',
      'connection: close of the upstream stays there',
      get('/ok', { up: 'connclose' }),
    ),
    scenario('upstream-keep-alive', 'keep-alive headers of the upstream', get('/ok', { up: 'keepalive' })),
    scenario('upstream-extra-bytes', 'Bytes after an answer are not the next answer', [
      get('/ok', { up: 'extra' }),
      get('/ok'),
    ]),
    scenario('upstream-continue', '100 of the upstream is swallowed', get('/ok', { up: 'continue,ok' })),
    scenario('cookies', 'Cookie lines stay apart on HTTP/1.1', head('cookie: a=1\r\ncookie: b=2\r\n\r\n')),
    scenario('repeated-headers', 'Repeated headers keep place and order', head('x-a: 1\r\nx-b: 2\r\nx-a: 3\r\n\r\n')),
    scenario(
      'response-repeated-headers',
      'Repeated answer headers',
      get('/ok', { up: 'hdr:set-cookie=a,hdr:x-b=1,hdr:set-cookie=b' }),
    ),
  ],
}

export default group
