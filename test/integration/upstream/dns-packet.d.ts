declare module 'dns-packet' {
  export interface Question {
    readonly type: string
    readonly name: string
  }
  export interface Answer extends Question {
    readonly ttl: number
    readonly data: string
  }
  export interface Packet {
    readonly type: 'query' | 'response'
    readonly id?: number
    readonly flags?: number
    readonly questions?: readonly Question[]
    readonly answers?: readonly Answer[]
  }
  const dns: {
    readonly RECURSION_AVAILABLE: number
    decode(bytes: Uint8Array): Packet
    encode(packet: Packet): Uint8Array
  }
  export default dns
}
