import type { Counter } from '../../stats/stats.ts'
import { isPipe } from '../address.ts'
import type { Preamble } from '../connect-options.ts'
import type { Address, Connection } from '../connection.ts'
import type { Proxied, Tlv } from '../proxied.ts'
import { Command, Family, TLV_HEADER, Transport, V2_HEADER, V2_MAX_LENGTH, V2_SIGNATURE } from '../proxy-header.ts'
import { encodeSocketAddress } from '../socket-address.ts'
import { isPassed } from './passed-tlvs.ts'
import type { UpstreamProxyProtocolConfig } from './upstream-proxy-protocol.ts'

const VERSION = 2

/** PROXY headers of the connections of one pool (haproxy.org/download/1.8/doc/proxy-protocol.txt §2). */
export class ProxyHeaderWriter implements Preamble {
  readonly #config: UpstreamProxyProtocolConfig
  /** Null: nobody is known for whom the connections are (health checks, call-outs). */
  readonly #proxied: Proxied | null
  readonly #tooLong: Counter

  constructor(config: UpstreamProxyProtocolConfig, proxied: Proxied | null, tooLong: Counter) {
    this.#config = config
    this.#proxied = proxied
    this.#tooLong = tooLong
  }

  bytes(connection: Connection): Uint8Array {
    const proxied = this.#proxied
    if (this.#config.version === 2) return proxied === null ? localHeader() : this.#v2(proxied)
    // As Envoy: only version 2 can say that a connection is the proxy's own.
    return proxied === null
      ? v1(connection.directLocal, connection.directRemote)
      : v1(proxied.source, proxied.destination)
  }

  #v2({ source, destination, tlvs }: Proxied): Uint8Array {
    const addresses = addressBlock(source, destination)
    const pieces: Uint8Array[] = [Buffer.alloc(V2_HEADER), addresses]
    let length = addresses.length
    let skipped = false
    for (const tlv of this.#told(tlvs)) {
      const more = TLV_HEADER + tlv.value.length
      if (length + more > V2_MAX_LENGTH) {
        skipped = true
        continue
      }
      length += more
      pieces.push(Uint8Array.of(tlv.type, tlv.value.length >> 8, tlv.value.length & 0xff), tlv.value)
    }
    // Once for a header, however many did not fit.
    if (skipped) this.#tooLong.inc()
    const out = Buffer.concat(pieces)
    begin(out, Command.Proxy, (source.ip.includes(':') ? Family.Inet6 : Family.Inet) * 16 + Transport.Stream)
    out.writeUInt16BE(length, V2_HEADER - 2)
    return out
  }

  /** Configured ones first; what came with the client's header is only told when none of its type is configured. */
  #told(received: readonly Tlv[]): Tlv[] {
    const { added, passed } = this.#config
    const told = received.filter(({ type }) => isPassed(passed, type) && !added.some(own => own.type === type))
    return [...added, ...told]
  }
}

function begin(out: Buffer, command: number, protocol: number): void {
  V2_SIGNATURE.copy(out)
  out[12] = VERSION * 16 + command
  out[13] = protocol
}

function localHeader(): Uint8Array {
  const out = Buffer.alloc(V2_HEADER)
  begin(out, Command.Local, 0)
  return out
}

function v1(source: Address, destination: Address): Uint8Array {
  // §2.1: what stands for a Unix socket, say, of a health check. Envoy's process ends.
  if (isPipe(source) || isPipe(destination)) return Buffer.from('PROXY UNKNOWN\r\n', 'latin1')
  const family = source.ip.includes(':') ? 'TCP6' : 'TCP4'
  return Buffer.from(`PROXY ${family} ${source.ip} ${destination.ip} ${source.port} ${destination.port}\r\n`, 'latin1')
}

function addressBlock(source: Address, destination: Address): Buffer {
  const wide = source.ip.includes(':')
  const width = wide ? 16 : 4
  const out = Buffer.alloc(2 * width + 4)
  ;[source, destination].forEach((address, i) => {
    // struct sockaddr: the port at 2, the address at 4 or 8.
    const raw = encodeSocketAddress(address)
    if (raw === null) return
    const at = wide ? 8 : 4
    Buffer.from(raw).copy(out, i * width, at, at + width)
    out.writeUInt16BE(address.port, 2 * width + 2 * i)
  })
  return out
}
