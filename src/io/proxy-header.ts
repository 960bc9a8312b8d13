/** The wire format of PROXY headers (haproxy.org/download/1.8/doc/proxy-protocol.txt §2.2): of those read and of those written. */

export const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
/** Signature, version and command, family and transport, length of what follows. */
export const V2_HEADER = 16
/** What follows a header: its length has 16 bits. */
export const V2_MAX_LENGTH = 0xffff
/** Type and length of a TLV. */
export const TLV_HEADER = 3

export const Command = { Local: 0, Proxy: 1 } as const
export const Family = { Inet: 1, Inet6: 2 } as const
export const Transport = { Stream: 1, Datagram: 2 } as const
