import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { BlockedAddresses } from '../../../../src/agent/wasm/blocked-address.ts'
import { HttpClient } from '../../../../src/agent/wasm/http-client.ts'
import { HttpFetcher } from '../../../../src/agent/wasm/http-fetch.ts'
import { wasmOptionsOf } from '../../../../src/agent/wasm/options.ts'
import { certificate } from '../../../harness/certificates.ts'
import { wasmModule } from './packing.ts'

const MODULE = wasmModule('over http')
const FAR = new AbortController().signal

async function serve(t: Test, listener: RequestListener): Promise<number> {
  const server = createServer(listener)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

function fetcher(env: Record<string, string> = {}): HttpFetcher {
  const options = wasmOptionsOf(env)
  const client = new HttpClient(new BlockedAddresses(options.blockedCidrs), async () => [
    { address: '127.0.0.1', family: 4 },
  ])
  return new HttpFetcher(client, options, 1)
}

t.test('a module is downloaded, out of what it is packed in', async t => {
  const port = await serve(t, (request, response) => response.end(request.url === '/gz' ? gzipSync(MODULE) : MODULE))
  for (const path of ['', 'gz']) {
    t.same(await fetcher().fetch(new URL(`http://modules.test:${port}/${path}`), false, FAR), MODULE)
  }
})

t.test('5xx that may pass and broken connections are tried again, as often as configured', async t => {
  let asked = 0
  const port = await serve(t, (request, response) => {
    if (asked++ === 0) request.socket.destroy()
    else response.writeHead(asked < 5 ? 503 : 200).end(MODULE)
  })
  const url = new URL(`http://127.0.0.1:${port}`)
  const tries = { WASM_HTTP_REQUEST_MAX_RETRIES: '3' }
  await t.rejects(fetcher(tries).fetch(url, false, FAR), {
    message:
      'wasm module download failed after 3 attempts, last error: wasm module download request failed: status code 503',
  })
  asked = 0
  t.same(await fetcher().fetch(url, false, FAR), MODULE)
  t.equal(asked, 5)
})

t.test('other statuses are not tried again', async t => {
  let asked = 0
  const port = await serve(t, (request, response) => {
    asked++
    response.writeHead(Number(request.url?.slice(1))).end()
  })
  for (const status of [404, 401, 501, 505, 511]) {
    const url = new URL(`http://127.0.0.1:${port}/${status}`)
    await t.rejects(fetcher().fetch(url, false, FAR), new RegExp(`after 1 attempts, .*status code ${status}$`))
  }
  t.equal(asked, 5)
})

t.test('a server that never ends its answer is left at the timeout', async t => {
  const port = await serve(t, (_request, response) => response.writeHead(200).write(MODULE))
  const url = new URL(`http://127.0.0.1:${port}`)
  const short = { WASM_HTTP_REQUEST_TIMEOUT: '20ms', WASM_HTTP_REQUEST_MAX_RETRIES: '2' }
  await t.rejects(fetcher(short).fetch(url, false, FAR), /after 2 attempts, .*context deadline exceeded/)
  await t.rejects(fetcher().fetch(url, false, AbortSignal.timeout(20)), /after 1 attempts, .*context deadline exceeded/)
})

t.test('a server that changes the protocol is left at once', async t => {
  const port = await serve(t, request => {
    request.socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n')
  })
  const one = { WASM_HTTP_REQUEST_MAX_RETRIES: '1' }
  await t.rejects(fetcher(one).fetch(new URL(`http://127.0.0.1:${port}`), false, FAR), /101 Switching Protocols/)
})

t.test('a timeout may be a fraction of a millisecond, or years', async t => {
  const port = await serve(t, (_request, response) => response.end(MODULE))
  for (const timeout of ['30000000.5us', '2000000h']) {
    const options = { WASM_HTTP_REQUEST_TIMEOUT: timeout, WASM_HTTP_REQUEST_MAX_RETRIES: '1' }
    t.same(await fetcher(options).fetch(new URL(`http://127.0.0.1:${port}`), false, FAR), MODULE)
  }
})

t.test('an answer beyond the limit is an error, told its length or not', async t => {
  let asked = 0
  const port = await serve(t, (request, response) => {
    asked++
    if (request.url === '/chunked') response.write(Buffer.alloc(60))
    response.end(Buffer.alloc(60))
  })
  const small = { ISTIO_WASM_MAX_BINARY_SIZE_BYTES: '50' }
  for (const path of ['chunked', 'whole']) {
    await t.rejects(fetcher(small).fetch(new URL(`http://127.0.0.1:${port}/${path}`), false, FAR), /exceeds 50 bytes/)
  }
  t.equal(asked, 2, 'once each')
})

t.test('redirects are followed, but not without an end', async t => {
  const port = await serve(t, (request, response) => {
    const left = Number(request.url?.slice(1))
    if (left === 0) response.end(MODULE)
    else response.writeHead(302, { location: `/${left - 1}` }).end()
  })
  t.same(await fetcher().fetch(new URL(`http://127.0.0.1:${port}/9`), false, FAR), MODULE)
  const one = { WASM_HTTP_REQUEST_MAX_RETRIES: '1' }
  await t.rejects(fetcher(one).fetch(new URL(`http://127.0.0.1:${port}/10`), false, FAR), /stopped after 10 redirects/)
})

t.test('no name, address or redirect leads to metadata services, or to ranges that are blocked', async t => {
  const targets = [
    'http://169.254.169.254/',
    'http://[fe80::1]/',
    'http://[fd00:ec2::254]/',
    'http://[::ffff:169.254.1.1]/',
  ]
  const port = await serve(t, (request, response) => {
    response.writeHead(302, { location: targets[Number(request.url?.slice(1))] ?? '' }).end()
  })
  const one = { WASM_HTTP_REQUEST_MAX_RETRIES: '1' }
  for (const i of targets.keys()) {
    await t.rejects(fetcher(one).fetch(new URL(targets[i]!), false, FAR), /connection blocked/)
    await t.rejects(fetcher(one).fetch(new URL(`http://127.0.0.1:${port}/${i}`), false, FAR), /connection blocked/)
  }
  const blocked = { ...one, BLOCKED_CIDRS_IN_WASM_FETCH: '10.0.0.0/8, 127.0.0.0/8' }
  await t.rejects(
    fetcher(blocked).fetch(new URL(`http://modules.test:${port}/`), false, FAR),
    /blocked: resolved IP 127/,
  )
})

t.test('certificates are verified, except of insecure registries', async t => {
  const server = createTlsServer(certificate('server'), (_request, response) => response.end(MODULE))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const url = new URL(`https://modules.test:${(server.address() as AddressInfo).port}`)
  const one = { WASM_HTTP_REQUEST_MAX_RETRIES: '1' }
  await t.rejects(fetcher(one).fetch(url, false, FAR), /unable to (verify|get)|self-signed/)
  t.same(await fetcher(one).fetch(url, true, FAR), MODULE)
})

t.test('variables that cannot be read are errors that name them', async t => {
  for (const [name, value] of [
    ['WASM_MODULE_EXPIRY', 'soon'],
    ['WASM_HTTP_REQUEST_MAX_RETRIES', '-1'],
    ['ISTIO_WASM_MAX_BINARY_SIZE_BYTES', '1e9'],
    ['BLOCKED_CIDRS_IN_WASM_FETCH', '10.0.0.0/33'],
  ] as const) {
    t.throws(() => wasmOptionsOf({ [name]: value }), new RegExp(name))
  }
  t.match(wasmOptionsOf({ ISTIO_WASM_MAX_BINARY_SIZE_BYTES: '4294967296' }), { maxBytes: 2 ** 32 })
  t.match(wasmOptionsOf({}), {
    moduleExpiryMs: 86_400_000,
    purgeIntervalMs: 3_600_000,
    requestTimeoutMs: 15_000,
    maxTries: 5,
    maxBytes: 268_435_456,
  })
})
