import { readFileSync } from 'node:fs'
import t from 'tap'
import { readJson } from '../../../src/config/json-reader.ts'
import { printJson, toJson } from '../../../src/config/json-writer.ts'
import { mergeMessages } from '../../../src/config/merge.ts'
import {
  formatDuration,
  formatTimestamp,
  parseBase64,
  parseDuration,
  parseTimestamp,
} from '../../../src/config/well-known.ts'

t.test('durations are milliseconds and print as protobuf prints them', t => {
  for (const [text, ms, printed] of [
    ['1.5s', 1500, '1.500s'],
    ['0s', 0, '0s'],
    ['0.000000001s', 0.000001, '0.000000001s'],
    ['0.25s', 250, '0.250s'],
    ['-1.5s', -1500, '-1.500s'],
    ['3600s', 3_600_000, '3600s'],
    ['0.0001s', 0.1, '0.000100s'],
    ['315576000000s', 315_576_000_000_000, '315576000000s'],
  ] as const) {
    t.equal(parseDuration(text), ms, text)
    t.equal(formatDuration(ms), printed, printed)
  }
  for (const bad of ['', 's', '5', '5m', '1.s', '.5s', '1.0000000001s', ' 1s', '1s ', '315576000001s', '1e3s']) {
    t.throws(() => parseDuration(bad), JSON.stringify(bad))
  }
  t.end()
})

t.test('timestamps and base64', t => {
  t.equal(formatTimestamp(parseTimestamp('2024-02-29T12:00:00.120Z')), '2024-02-29T12:00:00.120Z')
  t.equal(parseTimestamp('2024-02-29T12:00:00+02:00'), Date.UTC(2024, 1, 29, 10))
  t.throws(() => parseTimestamp('2024-02-29'))
  t.strictSame([...parseBase64('_-8=')], [255, 239])
  t.throws(() => parseBase64('a b='))
  t.end()
})

t.test('what Envoy printed comes back to the byte: field order, defaults, 64-bit integers as text', t => {
  const printed = readFileSync(new URL('../../fixtures/config/istio/server_info.txt', import.meta.url), 'utf8')
  const { message } = readJson('envoy.admin.v3.ServerInfo', JSON.parse(printed))
  t.equal(printJson(toJson('envoy.admin.v3.ServerInfo', message, { defaults: true })), printed)
  t.end()
})

t.test('secrets are redacted as in config_dump', t => {
  const secret = {
    name: 's',
    tls_certificate: {
      private_key: { inline_string: 'key' },
      password: { inline_bytes: Uint8Array.of(1) },
      certificate_chain: { filename: 'c' },
    },
  }
  t.strictSame(toJson('envoy.extensions.transport_sockets.tls.v3.Secret', secret, { redact: true }), {
    name: 's',
    tls_certificate: {
      certificate_chain: { filename: 'c' },
      private_key: { inline_string: '[redacted]' },
      password: { inline_bytes: 'W3JlZGFjdGVkXQ==' },
    },
  })
  t.end()
})

t.test('merging has the quirks of MergeFrom', t => {
  const type = 'envoy.config.cluster.v3.Cluster'
  const base = {
    name: 'a',
    connect_timeout: 1500,
    wait_for_warm_on_init: true,
    type: 'EDS',
    metadata: { filter_metadata: { x: { a: 1 } } },
  }
  const over = {
    connect_timeout: 2000,
    wait_for_warm_on_init: false,
    cluster_type: { name: 'c' },
    metadata: { filter_metadata: { x: { b: 2 } } },
  }
  t.strictSame(mergeMessages<object>(type, base, over), {
    name: 'a',
    // seconds and nanos merge one by one
    connect_timeout: 2500,
    // a wrapper of false holds nothing that could replace true
    wait_for_warm_on_init: true,
    // the other member of the oneof goes
    cluster_type: { name: 'c' },
    metadata: { filter_metadata: { x: { b: 2 } } },
  })
  t.strictSame(base.type, 'EDS', 'inputs stay')
  t.end()
})
