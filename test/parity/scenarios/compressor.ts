import { bootstrap, cluster, H2_UPSTREAM, httpListener, typed } from '../configs/builder.ts'
import { type Group, get, grpc, h2, raw, requestBytes, type Step, scenario } from '../scenario.ts'

const COMPRESSOR = 'envoy.extensions.filters.http.compressor.v3.Compressor'
const library = (encoding: 'gzip' | 'brotli' | 'zstd', extra = '') =>
  `compressor_library: {name: lib_${encoding}, typed_config: {"@type": type.googleapis.com/envoy.extensions.compression.${encoding}.compressor.v3.${encoding[0]!.toUpperCase()}${encoding.slice(1)}${extra}}}`
const compressor = (name: string, encoding: 'gzip' | 'brotli' | 'zstd', extra = '') =>
  typed(name, COMPRESSOR, `{${library(encoding)}, ${extra}}`)

const PER_ROUTE = 'envoy.extensions.filters.http.compressor.v3.CompressorPerRoute'
const override = (value: string) =>
  `typed_per_filter_config: {gzip: {"@type": type.googleapis.com/${PER_ROUTE}, ${value}}}`
const ROUTES = `
- {match: {prefix: /off}, route: {cluster: a}, ${override('disabled: true')}}
- {match: {prefix: /strip}, route: {cluster: a}, ${override('overrides: {response_direction_config: {remove_accept_encoding_header: true}}')}}
- {match: {prefix: /zstd}, route: {cluster: a}, ${override(`overrides: {${library('zstd')}}`)}}
- {match: {prefix: /direct}, direct_response: {status: 200, body: {inline_string: "a direct response of thirty bytes and more"}}}
- {match: {prefix: /h2}, route: {cluster: two}}
- {match: {prefix: /}, route: {cluster: a}}
`

const listener = (name: string, ...filters: object[]) =>
  httpListener(name, { filters: filters as Record<string, unknown>[], routes: ROUTES })
const accepts = (accept: string | null, up = 'body:100', where = 'main', path = '/') =>
  get(path, { listener: where, up, headers: accept === null ? [] : [`accept-encoding: ${accept}`] })
const type = (value: string, n = 100) => `bare,hdr:content-type=${value},body:${n}`
/** Stats of the listener that the first step asks. */
const one = (name: string, doc: string, ...steps: Step[]) => {
  const listener = 'listener' in steps[0]! ? steps[0].listener : 'main'
  const stats = [`^http\\.${listener}\\.compressor\\..*(?<!total_compressed_bytes)$`]
  return scenario(name, doc, steps, [], { log: false, stats })
}

const response = (fields: string) => `response_direction_config: {${fields}}`
const common = (fields: string) => response(`common_config: {${fields}}`)
const gzip = (fields = '') => compressor('gzip', 'gzip', fields)

const ACCEPT = [
  'gzip',
  'GZIP',
  'gzip, br, zstd',
  'br;q=0.5, gzip;q=0.9',
  'br;q=0.5,zstd;q=0.5',
  '*',
  'gzip;q=0, *',
  'br;q=0, zstd;q=0, gzip;q=0, *',
  'identity',
  'identity, gzip',
  'gzip;q=0.1, identity;q=0.5',
  'gzip;q=nonsense',
  'gzip;level=3',
  'gzip ; q = 0.5',
  'deflate',
  '',
  ',',
]

const group: Group = {
  name: 'compressor',
  upstreams: { a: { kind: 'http1' }, two: { kind: 'h2' } },
  config: bootstrap(
    [
      listener('main', compressor('br', 'brotli'), compressor('zstd', 'zstd'), gzip()),
      listener(
        'first',
        compressor('br', 'brotli', 'choose_first: true'),
        compressor('zstd', 'zstd', 'choose_first: true'),
        gzip('choose_first: true'),
      ),
      listener('small', gzip(common('min_content_length: 5, content_type: [application/custom]'))),
      listener(
        'matcher',
        gzip(
          common(
            'content_type: [text/css], content_type_matcher: [{prefix: "application/v"}, {suffix: "+JSON"}, {exact: Text/x}]',
          ),
        ),
      ),
      listener('onefirst', compressor('br', 'brotli'), compressor('zstd', 'zstd', 'choose_first: true'), gzip()),
      httpListener('ws', {
        filters: [gzip('request_direction_config: {common_config: {min_content_length: 5}}')],
        routes: ROUTES,
        hcm: 'upgrade_configs: [{upgrade_type: websocket}]',
      }),
      listener('off', gzip(common('enabled: {default_value: false, runtime_key: compress.off}'))),
      listener('etag', gzip(response('disable_on_etag_header: true'))),
      listener('weaken', gzip(response('weaken_etag_on_compress: true'))),
      listener('strip', gzip(response('remove_accept_encoding_header: true'))),
      listener('codes', gzip(response('uncompressible_response_codes: [206, 404]'))),
      listener(
        'status',
        compressor(
          'br',
          'brotli',
          response('status_header_enabled: true, disable_on_etag_header: true, uncompressible_response_codes: [404]'),
        ),
        gzip(
          response('status_header_enabled: true, disable_on_etag_header: true, uncompressible_response_codes: [404]'),
        ),
      ),
      listener(
        'request',
        gzip(
          'request_direction_config: {common_config: {enabled: {default_value: true, runtime_key: compress.requests}}}',
        ),
      ),
      listener(
        'requestmin',
        gzip(
          'request_direction_config: {common_config: {enabled: {default_value: true, runtime_key: x}, min_content_length: 5, content_type: [text/plain]}}',
        ),
      ),
      listener(
        'old',
        gzip(
          'content_length: 10, content_type: [text/old], disable_on_etag_header: true, remove_accept_encoding_header: true',
        ),
      ),
      listener('oldoff', gzip('runtime_enabled: {default_value: false, runtime_key: compress.old}')),
      listener(
        'levels',
        typed(
          'gzip',
          COMPRESSOR,
          `{${library('gzip', ', compression_level: COMPRESSION_LEVEL_9, compression_strategy: RLE, window_bits: 15, memory_level: 9, chunk_size: 8192')}}`,
        ),
        typed(
          'br',
          COMPRESSOR,
          `{${library('brotli', ', quality: 9, encoder_mode: TEXT, window_bits: 16, input_block_bits: 16, chunk_size: 8192, disable_literal_context_modeling: true')}}`,
        ),
        typed(
          'zstd',
          COMPRESSOR,
          `{${library('zstd', ', compression_level: 9, strategy: BTOPT, enable_checksum: true, chunk_size: 8192')}}`,
        ),
      ),
    ],
    [cluster('a', 'a'), cluster('two', 'two', H2_UPSTREAM)],
  ),
  scenarios: [
    ...ACCEPT.flatMap((accept, i) => [
      one(`accept-${i}`, `Three compressors and accept-encoding: ${accept}`, accepts(accept)),
      one(`first-${i}`, `The same with choose_first: ${accept}`, accepts(accept, 'body:100', 'first')),
    ]),
    one('accept-none', 'A request without accept-encoding', accepts(null)),
    one('length-29', 'Content shorter than 30 bytes stays', accepts('gzip', 'body:29')),
    one('length-30', 'Thirty bytes are enough', accepts('gzip', 'body:30')),
    one('chunked', 'A chunked answer is compressed whatever its length', accepts('gzip', 'chunked')),
    one('trailers', 'The end of the encoding comes before the trailers', accepts('gzip', 'trailers')),
    one('until-close', 'An answer that ends with its connection is not chunked', accepts('gzip', 'untilclose')),
    one('slow', 'What has come is sent before the rest comes', accepts('gzip', 'hdr:content-type=text/plain,slow:50')),
    ...[
      'image/png',
      'text/html',
      'TEXT/HTML',
      'text/html; charset=utf-8',
      'application/json',
      'application/grpc-web',
      '',
    ].map((value, i) => one(`type-${i}`, `Which content types are compressed: ${value}`, accepts('gzip', type(value)))),
    one('type-absent', 'No content-type', accepts('gzip', 'bare,body:100')),
    one('vary', 'vary is extended', accepts('gzip', 'hdr:vary=origin,body:100')),
    one('vary-there', 'vary that has the word stays', accepts('gzip', 'hdr:vary=accept-encoding,body:100')),
    one(
      'vary-star',
      'vary that is a star',
      accepts('gzip', 'hdr:vary=*,body:100'),
      accepts('gzip', 'hdr:vary=Accept-Encoding,body:100'),
    ),
    one(
      'no-transform',
      'cache-control: no-transform forbids it',
      accepts('gzip', 'hdr:cache-control=max-age=1; no-transform,body:100'),
    ),
    one(
      'no-transform-alone',
      'cache-control: no-transform alone forbids it',
      accepts('gzip', 'hdr:cache-control=no-transform,body:100'),
    ),
    one('encoded', 'What is encoded stays', accepts('gzip', 'hdr:content-encoding=deflate,body:100')),
    one(
      'transfer-encoded',
      'A response with transfer-encoding gzip stays',
      accepts('gzip', 'hdr:transfer-encoding=gzip,body:100'),
    ),
    one(
      'etag',
      'A strong etag goes, a weak one stays',
      accepts('gzip', 'hdr:etag="1",body:100'),
      accepts('gzip', 'hdr:etag=W/"1",body:100'),
      accepts('gzip', 'hdr:etag=w/"1",body:100'),
    ),
    one(
      'etag-not-compressed',
      'An etag stays with what is not compressed',
      accepts('identity', 'hdr:etag="1",body:100'),
    ),
    one(
      'head',
      'HEAD has no body to compress',
      get('/', { method: 'HEAD', headers: ['accept-encoding: gzip'], up: 'body:100' }),
    ),
    one('status-204', 'No content', accepts('gzip', 'status:204')),
    one('status-304', 'Not modified', accepts('gzip', 'status:304')),
    one('status-206', 'Partial content is compressed too', accepts('gzip', 'status:206,body:100')),
    one('error', 'Errors are compressed too', accepts('gzip', 'status:500,body:100')),
    one('local-reply', 'Replies of the proxy itself', accepts('gzip', 'close', 'main', '/')),
    one('direct', 'Direct responses', accepts('gzip', 'ok', 'main', '/direct')),
    one(
      'twice',
      'Two accept-encoding headers',
      get('/', { headers: ['accept-encoding: br;q=0.1', 'accept-encoding: gzip'], up: 'body:100' }),
    ),
    one(
      'upgrade',
      'An upgrade is not compressed',
      raw([
        requestBytes('/', {
          headers: ['accept-encoding: gzip', 'connection: upgrade', 'upgrade: websocket'],
          up: 'body:100',
        }),
      ]),
    ),
    one(
      'refused-early',
      'Requests that are refused before a filter sees them: their answers pass the filters, without a request',
      raw('GET / HTTP/1.0\r\n\r\n'),
      raw('GET / HTTP/1.1\r\n\r\n'),
      raw('not HTTP at all\r\n\r\n'),
      raw(`GET / HTTP/1.1\r\nHost: lab.test\r\nx: ${'a'.repeat(70_000)}\r\n\r\n`),
      raw('GET / HTTP/1.1\r\nHost: lab.test\r\ncontent-length: x\r\n\r\n'),
      accepts('gzip'),
    ),
    one('large', 'A body of many chunks', accepts('gzip', 'body:200000')),
    one('large-br', 'A body of many chunks', accepts('br', 'body:200000')),
    one('large-zstd', 'A body of many chunks', accepts('zstd', 'body:200000')),
    one('h2-upstream', 'An HTTP/2 upstream says no length', accepts('gzip', 'body:100', 'main', '/h2')),
    one('h2-trailers', 'An HTTP/2 upstream with trailers', accepts('gzip', 'body:100,trailer:x-t=1', 'main', '/h2')),
    one('h2-both', 'HTTP/2 on both sides', h2('/h2', { 'accept-encoding': 'gzip', 'x-up': 'body:100' })),
    one('grpc', 'gRPC is left alone', grpc('/h2', { 'accept-encoding': 'gzip', 'x-up': 'grpc:0' })),
    one('route-off', 'A route without compression', accepts('gzip', 'body:100', 'main', '/off')),
    one(
      'route-off-alone',
      'A route without compression of the only compressor',
      accepts('gzip', 'body:100', 'small', '/off'),
    ),
    one(
      'route-strip',
      'A route that hides accept-encoding from the upstream',
      accepts('gzip', 'body:100', 'codes', '/strip'),
    ),
    one(
      'route-library',
      'A route with a library of its own',
      accepts('zstd, gzip', 'body:100', 'codes', '/zstd'),
      accepts('gzip', 'body:100', 'codes', '/zstd'),
    ),
    one(
      'min',
      'Least length and types',
      ...[4, 5].map(n => accepts('gzip', type('application/custom', n), 'small')),
      accepts('gzip', type('text/plain'), 'small'),
    ),
    one(
      'matcher',
      'Types by matcher',
      ...[
        'text/css',
        'text/html',
        'application/vnd.x',
        'application/vnd.x;a=b',
        'application/a+json; charset=utf-8',
        'application/a+JSON; charset=utf-8',
        'text/x',
        'Text/x',
      ].map(v => accepts('gzip', type(v), 'matcher')),
    ),
    one('disabled', 'Turned off', accepts('gzip', 'body:100', 'off'), accepts(null, 'body:100', 'off')),
    one(
      'disable-on-etag',
      'Not with an etag',
      accepts('gzip', 'hdr:etag="1",body:100', 'etag'),
      accepts('gzip', 'hdr:etag=W/"1",body:100', 'etag'),
      accepts('gzip', 'body:100', 'etag'),
    ),
    one(
      'weaken-etag',
      'A strong etag becomes weak',
      accepts('gzip', 'hdr:etag="1",body:100', 'weaken'),
      accepts('gzip', 'hdr:etag=W/"1",body:100', 'weaken'),
    ),
    one('strip', 'The upstream does not see accept-encoding', accepts('gzip', 'body:100', 'strip')),
    one(
      'codes',
      'Statuses that stay as they are',
      accepts('gzip', 'status:206,body:100', 'codes'),
      accepts('gzip', 'status:404,body:100', 'codes'),
      accepts('gzip', 'status:200,body:100', 'codes'),
    ),
    one(
      'status-header',
      'x-envoy-compression-status says what happened',
      ...[
        'body:100',
        'body:10',
        type('image/png'),
        'status:404,body:100',
        'hdr:etag="1",body:100',
        'chunked',
        'status:204',
        'hdr:content-encoding=x,body:100',
        'hdr:cache-control=no-transform,body:100',
        'hdr:etag="1",body:10',
      ].map(up => accepts('gzip', up, 'status')),
    ),
    one(
      'status-header-order',
      'Which of two reasons x-envoy-compression-status names',
      ...[
        'bare,hdr:content-type=image/png,status:404,body:100',
        'hdr:etag="1",status:404,body:100',
        'bare,hdr:content-type=image/png,hdr:etag="1",body:100',
        'bare,hdr:content-type=image/png,body:10',
        'hdr:content-encoding=x,status:404,body:100',
      ].map(up => accepts('gzip', up, 'status')),
      accepts('identity', 'body:10', 'status'),
      accepts(null, 'body:10', 'status'),
      get('/', { listener: 'status', method: 'HEAD', headers: ['accept-encoding: gzip'], up: 'body:10' }),
      get('/', { listener: 'status', method: 'HEAD', headers: ['accept-encoding: gzip'], up: 'body:100' }),
      accepts('gzip', 'body:100', 'status', '/off'),
    ),
    one(
      'request-off',
      'A route without compression, of requests too',
      get('/off', {
        listener: 'request',
        method: 'POST',
        headers: ['accept-encoding: gzip'],
        body: 'x'.repeat(100),
        up: 'body:100',
      }),
    ),
    one(
      'websocket',
      'Upgraded connections are left alone',
      raw(
        [
          requestBytes('/', {
            headers: ['accept-encoding: gzip', 'connection: upgrade', 'upgrade: websocket'],
            up: 'switch',
          }),
          'hello',
        ],
        { listener: 'ws', linger: 100 },
      ),
    ),
    one(
      'websocket-refused',
      'An upgrade that the upstream refuses is compressed',
      accepts('gzip', 'body:100', 'ws'),
      raw(
        [
          requestBytes('/', {
            headers: ['accept-encoding: gzip', 'connection: upgrade', 'upgrade: websocket'],
            up: 'body:100',
          }),
        ],
        { listener: 'ws' },
      ),
    ),
    one(
      'one-first',
      'choose_first of one of three',
      ...[
        'br, zstd, gzip',
        'zstd, br',
        'gzip, zstd, br',
        'zstd;q=0.4, br;q=0.5',
        'identity, zstd',
        '*, zstd',
        'zstd, *',
      ].map(a => accepts(a, 'body:100', 'onefirst')),
    ),
    one(
      'status-header-identity',
      'x-envoy-compression-status without a word in accept-encoding',
      accepts('identity', 'body:100', 'status'),
      accepts(null, 'body:100', 'status'),
      accepts('gzip, br', 'body:100', 'status'),
    ),
    one(
      'request',
      'Requests are compressed',
      ...[29, 30, 100].map(n =>
        get('/', { listener: 'request', method: 'POST', headers: ['content-type: text/plain'], body: 'x'.repeat(n) }),
      ),
    ),
    one(
      'request-types',
      'Types and lengths of requests',
      ...['text/plain', 'text/html'].map(v =>
        get('/', { listener: 'requestmin', method: 'POST', headers: [`content-type: ${v}`], body: 'xxxxxx' }),
      ),
      get('/', { listener: 'requestmin', method: 'POST', body: 'xxxxxx' }),
      get('/', { listener: 'requestmin' }),
    ),
    one(
      'request-encoded',
      'A request that is encoded stays',
      get('/', { listener: 'request', method: 'POST', headers: ['content-encoding: x'], body: 'x'.repeat(100) }),
    ),
    one(
      'request-both',
      'Both directions',
      get('/', {
        listener: 'request',
        method: 'POST',
        headers: ['accept-encoding: gzip'],
        body: 'x'.repeat(100),
        up: 'body:100',
      }),
    ),
    one(
      'request-chunked',
      'A chunked request',
      raw(
        [
          `${requestBytes('/', { listener: 'request', method: 'POST', headers: ['transfer-encoding: chunked'] })}5\r\nhello\r\n0\r\n\r\n`,
        ],
        { listener: 'request', methods: ['POST'] },
      ),
      raw(
        [
          `${requestBytes('/', { listener: 'request', method: 'POST', headers: ['transfer-encoding: chunked'] })}5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n`,
        ],
        { listener: 'request', methods: ['POST'] },
      ),
    ),
    one(
      'old-fields',
      'The deprecated fields',
      accepts('gzip', type('text/old'), 'old'),
      accepts('gzip', type('text/old', 9), 'old'),
      accepts('gzip', type('text/plain'), 'old'),
      accepts('gzip', 'bare,hdr:content-type=text/old,hdr:etag=1,body:100', 'old'),
    ),
    one('old-off', 'The deprecated way to turn it off', accepts('gzip', 'body:100', 'oldoff')),
    one('levels', 'Settings of gzip', ...['gzip', 'br', 'zstd'].map(e => accepts(e, 'body:50000', 'levels'))),
  ],
}

export default group
