import { readdirSync, readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { decodeMessage, encodeMessage } from '../../../src/config/binary.ts'
import { messageType, messageTypeNames } from '../../../src/config/descriptors.ts'
import { FieldPath } from '../../../src/config/field-path.ts'
import { readJson } from '../../../src/config/json-reader.ts'
import { parseJsonText } from '../../../src/config/json-text.ts'
import { printJson, toJson } from '../../../src/config/json-writer.ts'
import { validateMessage } from '../../../src/config/validate.ts'
import { RandomMessages } from './random-message.ts'

const fixtures = new URL('../../fixtures/config/istio/', import.meta.url)

t.test('every message type survives binary and JSON with random content', t => {
  const random = new RandomMessages(20260101)
  let checked = 0
  for (const name of messageTypeNames()) {
    const type = messageType(name)
    if (type.isMapEntry || type.name.startsWith('google.api.')) continue
    // TypedStruct is unwrapped inside an Any only; alone it is a message like any other.
    for (let i = 0; i < 2; i++) {
      const message = random.message(type)
      const binary = decodeMessage(name, encodeMessage(name, message))
      if (!isDeepStrictEqual(binary.message, message)) t.same(binary.message, message, `${name} over binary`)
      if (binary.unknownNumbers.length > 0) t.fail(`${name}: unknown numbers`)
      const json = readJson(name, parseJsonText(printJson(toJson(name, message)), name, 'test'))
      if (!isDeepStrictEqual(json.message, message)) t.same(json.message, message, `${name} over JSON`)
      checked++
    }
  }
  t.ok(checked > 2000, `${checked} messages`)
  t.end()
})

t.test('what istiod sends is understood completely', t => {
  for (const file of readdirSync(fixtures)) {
    if (!file.endsWith('.pb')) continue
    const type = 'envoy.service.discovery.v3.DeltaDiscoveryResponse'
    const { message, unknownNumbers, unknownFields } = decodeMessage(type, readFileSync(new URL(file, fixtures)))
    t.same(unknownNumbers, [], `${file}: no unknown numbers`)
    t.same(unknownFields, [], `${file}: no unknown fields in TypedStructs`)
    t.doesNotThrow(() => validateMessage(type, message), `${file}: passes the rules`)
    t.ok(isDeepStrictEqual(decodeMessage(type, encodeMessage(type, message)).message, message), `${file}: over binary`)
    t.ok(
      isDeepStrictEqual(readJson(type, JSON.parse(printJson(toJson(type, message)))).message, message),
      `${file}: over JSON`,
    )
  }
  t.end()
})

t.test('unknown numbers survive at every depth when they are to be kept, and are no keys', t => {
  const type = 'envoy.config.core.v3.TypedExtensionConfig'
  // Fields 1000 and 1001, once of each wire type that protobuf writes.
  const unknown = Buffer.from([
    0xc2, 0x3e, 2, 1, 2, 0xc0, 0x3e, 7, 0xc9, 0x3e, 1, 2, 3, 4, 5, 6, 7, 8, 0xcd, 0x3e, 1, 2, 3, 4,
  ])
  const cors = { type_url: 'type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors', message: {} }
  const plain = { name: 'x', typed_config: cors }
  const inner = Buffer.concat([
    Buffer.from([0x0a, cors.type_url.length]),
    Buffer.from(cors.type_url),
    Buffer.from([0x12, unknown.length]),
    unknown,
  ])
  const bytes = Buffer.concat([Buffer.from([0x0a, 1, 0x78, 0x12, inner.length]), inner, unknown])
  const kept = decodeMessage(type, bytes, FieldPath.root(), { keepUnknownFields: true })
  t.same(JSON.parse(JSON.stringify(kept.message)), plain)
  t.equal(kept.unknownNumbers.length, 8)
  t.same(Buffer.from(encodeMessage(type, kept.message)), bytes)
  t.same(encodeMessage(type, decodeMessage(type, bytes).message), encodeMessage(type, plain))
  t.end()
})

t.test('hostile bytes are an error, never a crash or a hang', t => {
  const type = 'envoy.service.discovery.v3.DeltaDiscoveryResponse'
  const bytes = readFileSync(new URL('sleep-RDS.pb', fixtures))
  const random = new RandomMessages(7)
  for (let i = 0; i < 300; i++) {
    const broken = Uint8Array.from(bytes)
    for (let k = 0; k < 3; k++) broken[random.below(broken.length)] = random.below(256)
    try {
      decodeMessage(type, broken.subarray(0, 1 + random.below(broken.length)))
    } catch (e) {
      if ((e as { name: string }).name !== 'ConfigError') throw e
    }
  }
  let nested = new Uint8Array(0)
  for (let i = 0; i < 300; i++) nested = new Uint8Array([0x0a, ...varint(nested.length), ...nested])
  t.throws(() => decodeMessage('xds.type.matcher.v3.Matcher.MatcherList.Predicate.PredicateList', nested), {
    code: 'CONFIG_BINARY',
  })
  t.end()
})

function varint(n: number): number[] {
  return n < 128 ? [n] : [(n & 127) | 128, ...varint(n >>> 7)]
}
