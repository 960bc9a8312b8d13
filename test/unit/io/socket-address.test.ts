import t from 'tap'
import { ipAddress, pipeAddress } from '../../../src/io/address.ts'
import { originalDestination } from '../../../src/io/original-dst.ts'
import { decodeIpv6, decodeSocketAddress, encodeIpv6, encodeSocketAddress } from '../../../src/io/socket-address.ts'

t.test('IPv6 texts, RFC 5952', async t => {
  for (const [given, printed = given] of [
    ['::'],
    ['::1'],
    ['1::'],
    ['2001:db8::1'],
    ['2001:db8:0:1:1:1:1:1'],
    ['2001:0db8:0000:0000:0001:0000:0000:0001', '2001:db8::1:0:0:1'],
    ['::ffff:10.1.2.3'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['1:2:3:4:5:6:7:8'],
  ] as [string, string?][]) {
    t.equal(decodeIpv6(encodeIpv6(given)), printed, given)
  }
})

t.test('socket addresses survive the round trip', async t => {
  for (const [ip, port] of [
    ['127.0.0.1', 80],
    ['255.0.10.7', 65535],
    ['fd00::17', 443],
    ['fe80::1%3', 443],
  ] as [string, number][]) {
    const address = ipAddress(ip, port)
    t.same(decodeSocketAddress(encodeSocketAddress(address) as Buffer), address)
  }
  t.equal(encodeSocketAddress(ipAddress('nonsense', 1)), null)
  t.equal(encodeSocketAddress(pipeAddress(`/${'a'.repeat(107)}`)), null)
  t.equal(encodeSocketAddress(pipeAddress('/run/x'))?.length, 2 + 6 + 1)
  t.equal(encodeSocketAddress(pipeAddress('@x'))?.length, 2 + 2)
})

t.test('no original destination for a descriptor that netfilter does not know', async t => {
  t.equal(originalDestination(-1, false), null)
  t.equal(originalDestination(0, true), null)
})
