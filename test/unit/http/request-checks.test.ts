import t from 'tap'
import type { CodecStream } from '../../../src/codec/codec.ts'
import { HeaderBlock } from '../../../src/codec/header-block.ts'
import type { HcmConfig } from '../../../src/http/connection-manager-config.ts'
import { checkRequestHeaders, isUpgradeRequest, normalizeHost } from '../../../src/http/request-checks.ts'

const defaults = {
  underscores: 'ALLOW',
  stripAnyHostPort: false,
  stripMatchingHostPort: false,
  stripTrailingHostDot: false,
} as HcmConfig

function request(authority: string, path: string, ...fields: string[]): HeaderBlock {
  const h = new HeaderBlock()
  h.method = 'GET'
  h.authority = authority
  h.path = path
  h.list.push(...fields)
  return h
}

function check(h: HeaderBlock, config: Partial<HcmConfig> = {}, hostMissing = false): string {
  const refusal = checkRequestHeaders(h, { hostMissing } as unknown as CodecStream, { ...defaults, ...config })
  return refusal === null ? '' : `${refusal.status} ${refusal.details}`
}

t.test('an ordinary request passes', async t => {
  t.equal(check(request('a.test:80', '/')), '')
  t.equal(check(request('[::1]:80', '/')), '')
})

t.test('a missing host, a bad authority and a path that is none are refused', async t => {
  t.equal(check(request('', '/'), {}, true), '400 missing_host_header')
  t.equal(check(request('a b', '/')), '400 http.invalid_authority')
  t.equal(check(request('a/b', '/')), '400 http.invalid_authority')
  t.equal(check(request('a', 'x')), '404 absolute_path_rejected')
  t.equal(check(request('a', '')), '400 missing_path_rejected')
})

t.test('CONNECT needs no path', async t => {
  const h = request('a:1', '')
  h.method = 'CONNECT'
  t.equal(check(h), '')
})

t.test('names with underscores are kept, dropped or refused as told', async t => {
  t.equal(check(request('a', '/', 'x_a', '1')), '')
  t.equal(check(request('a', '/', 'x_a', '1'), { underscores: 'REJECT_REQUEST' }), '400 http1.unexpected_underscore')
  const h = request('a', '/', 'x_a', '1', 'x-b', '2', 'x_a', '3')
  t.equal(check(h, { underscores: 'DROP_HEADER' }), '')
  t.same(h.list, ['x-b', '2'])
})

t.test('an upgrade needs both headers, and the token may stand anywhere in connection', async t => {
  const both = (connection: string) => request('a', '/', 'upgrade', 'websocket', 'connection', connection)
  t.ok(isUpgradeRequest(both('Upgrade')))
  t.ok(isUpgradeRequest(both('keep-alive, upgrade')))
  t.notOk(isUpgradeRequest(both('keep-alive')))
  t.notOk(isUpgradeRequest(both('x-upgrade')))
  t.notOk(isUpgradeRequest(request('a', '/', 'connection', 'upgrade')))
})

function host(authority: string, config: Partial<HcmConfig>): string {
  const h = request(authority, '/')
  normalizeHost(h, 8080, { ...defaults, ...config })
  return h.authority
}

t.test('the port of a host goes when it is ours, or always, as told; IPv6 brackets stay', async t => {
  t.equal(host('a.test:8080', { stripMatchingHostPort: true }), 'a.test')
  t.equal(host('a.test:81', { stripMatchingHostPort: true }), 'a.test:81')
  t.equal(host('a.test:81', { stripAnyHostPort: true }), 'a.test')
  t.equal(host('[::1]', { stripAnyHostPort: true }), '[::1]')
  t.equal(host('[::1]:81', { stripAnyHostPort: true }), '[::1]')
})

t.test('strip_trailing_host_dot keeps the port', async t => {
  t.equal(host('a.test.:81', { stripTrailingHostDot: true }), 'a.test:81')
})
