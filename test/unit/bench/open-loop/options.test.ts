import t from 'tap'
import { http1Request, parseOptions } from '../../../../bench/load/open-loop/options.ts'

t.test('a URL and a rate are enough', t => {
  const options = parseOptions(['--url', 'http://127.0.0.1:81/a?b=c', '--rate', '500'])
  t.same(options.endpoint, { host: '127.0.0.1', port: 81, tls: null })
  t.match(options, { rate: 500, connections: 32, seconds: 10, warmup: 1, h2: false, pacing: 'spin' })
  t.equal(http1Request(options.request).toString(), 'GET /a?b=c HTTP/1.1\r\nhost: 127.0.0.1:81\r\n\r\n')
  t.end()
})

t.test('headers and a body make a POST, a host header replaces that of the URL', t => {
  const given = ['--header', 'Host: lab.test', '--header', 'X-A:  1', '--body', 'hi']
  const { request } = parseOptions(['--url', 'https://[::1]/', '--rate', '1', ...given])
  t.equal(
    http1Request(request).toString(),
    'POST / HTTP/1.1\r\nhost: lab.test\r\nx-a: 1\r\ncontent-length: 2\r\n\r\nhi',
  )
  t.end()
})

t.test('HTTP/2 takes the host header as :authority', t => {
  const { request } = parseOptions(['--url', 'http://[::1]:9/', '--rate', '1', '--h2', '--header', 'host: lab.test'])
  t.equal(request.authority, 'lab.test')
  t.same(request.headers, [])
  t.end()
})

t.test('requests of a file replace the one of the command line', t => {
  const folder = t.testdir({
    'r.json': JSON.stringify([
      { method: 'HEAD', host: 'a', path: '/1' },
      { method: 'POST', host: 'b', path: '/2', headers: { 'X-A': '1' }, body: 'hi' },
    ]),
    'bad.json': '[]',
    'long.json': JSON.stringify([{ method: 'POST', host: 'b', path: '/', body: 'x'.repeat(16385) }]),
  })
  const url = ['--url', 'http://127.0.0.1:1/', '--rate', '1']
  const { requests } = parseOptions([...url, '--requests', `${folder}/r.json`])
  t.same(
    requests.map(request => http1Request(request).toString()),
    ['HEAD /1 HTTP/1.1\r\nhost: a\r\n\r\n', 'POST /2 HTTP/1.1\r\nhost: b\r\nx-a: 1\r\ncontent-length: 2\r\n\r\nhi'],
  )
  t.throws(() => parseOptions([...url, '--requests', `${folder}/bad.json`]), { message: /no list of requests/ })
  t.throws(() => parseOptions([...url, '--requests', `${folder}/none.json`]), { message: /none\.json/ })
  t.equal(parseOptions([...url, '--h2', '--requests', `${folder}/r.json`]).requests.length, 2)
  t.throws(() => parseOptions([...url, '--h2', '--requests', `${folder}/long.json`]), { message: /16 KiB/ })
  t.equal(parseOptions(['--url', 'http://127.0.0.1:1/', '--rate', 'most']).rate, 'most')
  t.end()
})

t.test('the server name is that of the URL, or another, and never an address', t => {
  const of = (url: string, ...more: string[]): string | undefined =>
    parseOptions(['--url', url, '--rate', '1', ...more]).endpoint.tls?.servername
  t.equal(of('https://a.test/'), 'a.test')
  t.equal(of('https://127.0.0.1/'), '')
  t.equal(of('https://[::1]/'), '')
  t.equal(of('https://127.0.0.1/', '--sni', 'b.test'), 'b.test')
  t.throws(() => of('https://a.test/', '--sni', '127.0.0.1'), { message: /--sni is a name/ })
  t.throws(() => of('http://a.test/', '--sni', 'b.test'), { message: /--sni is a name, and for https/ })
  t.end()
})

t.test('a wrong command line says what is wrong', t => {
  const url = ['--url', 'http://h/', '--rate', '1']
  for (const [argv, message] of [
    [[], /--url is missing/],
    [['--url', 'http://h/'], /--rate is missing/],
    [['--url', 'nonsense', '--rate', '1'], /is no URL/],
    [['--url', 'ftp://h/', '--rate', '1'], /ftp: is not spoken/],
    [['--url', 'http://h/', '--rate', '0'], /--rate 0: a positive number/],
    [[...url, '--pacing', 'nap'], /spin or wake/],
    [[...url, '--header', 'nocolon'], /is not "name: value"/],
    [[...url, '--header', 'a: b\r\nc: d'], /is not "name: value"/],
    [[...url, '--what'], /--what/],
    [[...url, '--cert', 'x'], /belong together/],
  ] as const)
    t.throws(() => parseOptions(argv), { message })
  t.end()
})
