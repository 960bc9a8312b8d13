import { isIPv6 } from 'node:net'
import { WireWriter } from '../../../config/wire-writer.ts'
import { encodeIpv6 } from '../../../io/socket-address.ts'
import { unicode } from '../span-text.ts'
import type { ZipkinSpan } from './span.ts'

/** What all spans of a process have in common. */
export interface ZipkinPlace {
  /** The node's cluster. */
  readonly service: string
  readonly address: string
  /** Spans of two hops with one id are the normal case: server spans say so. */
  readonly shared: boolean
  /** Wall clock minus the worker's, ms. */
  readonly epoch: number
}

/** The API's version 2 in JSON (zipkin2-api.yaml). */
export function zipkinJson(spans: readonly ZipkinSpan[], place: ZipkinPlace): Uint8Array {
  return Buffer.from(JSON.stringify(spans.map(span => jsonSpan(span, place))))
}

function jsonSpan(span: ZipkinSpan, place: ZipkinPlace): object {
  const tags: Record<string, string> = Object.create(null)
  for (let i = 0; i < span.tags.length; i += 2) tags[unicode(span.tags[i]!)] = unicode(span.tags[i + 1]!)
  return {
    traceId: span.traceId,
    ...(span.parentId === '' ? {} : { parentId: span.parentId }),
    id: span.id,
    ...(span.name === '' ? {} : { name: unicode(span.name) }),
    kind: span.server ? 'SERVER' : 'CLIENT',
    ...(span.server && place.shared ? { shared: true } : {}),
    timestamp: micros(place.epoch + span.start),
    duration: micros(span.end - span.start),
    localEndpoint: {
      ...(place.service === '' ? {} : { serviceName: place.service }),
      [isIPv6(place.address) ? 'ipv6' : 'ipv4']: place.address,
      port: 0,
    },
    annotations: span.events.map((value, i) => ({ timestamp: micros(place.epoch + span.eventTimes[i]!), value })),
    ...(span.tags.length === 0 ? {} : { tags }),
  }
}

/** zipkin.proto3.ListOfSpans. */
export function zipkinProto(spans: readonly ZipkinSpan[], place: ZipkinPlace): Uint8Array {
  const w = new WireWriter()
  for (const span of spans) w.messageField(1, () => writeSpan(w, span, place))
  return w.finish()
}

function writeSpan(w: WireWriter, span: ZipkinSpan, place: ZipkinPlace): void {
  w.bytesField(1, Buffer.from(span.traceId, 'hex'))
  if (span.parentId !== '') w.bytesField(2, Buffer.from(span.parentId, 'hex'))
  w.bytesField(3, Buffer.from(span.id, 'hex'))
  w.uintField(4, span.server ? 2 : 1)
  w.stringField(5, unicode(span.name))
  w.tag(6, 1)
  w.fixed64(BigInt(micros(place.epoch + span.start)))
  w.uintField(7, micros(span.end - span.start))
  w.messageField(8, () => {
    w.stringField(1, place.service)
    w.bytesField(isIPv6(place.address) ? 3 : 2, bytesOf(place.address))
  })
  for (let i = 0; i < span.events.length; i++) {
    w.messageField(10, () => {
      w.tag(1, 1)
      w.fixed64(BigInt(micros(place.epoch + span.eventTimes[i]!)))
      w.stringField(2, span.events[i]!)
    })
  }
  const tags = new Map<string, string>()
  for (let i = 0; i < span.tags.length; i += 2) tags.set(unicode(span.tags[i]!), unicode(span.tags[i + 1]!))
  for (const [name, value] of tags) {
    w.messageField(11, () => {
      w.stringField(1, name)
      w.stringField(2, value)
    })
  }
  w.boolField(13, span.server && place.shared)
}

function bytesOf(ip: string): Buffer {
  return isIPv6(ip) ? encodeIpv6(ip) : Buffer.from(ip.split('.').map(Number))
}

function micros(ms: number): number {
  return Math.round(ms * 1000)
}
