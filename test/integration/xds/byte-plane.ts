import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js'
import type { Test } from 'tap'
import { DELTA } from '../../../src/agent/xds-relay/protocol.ts'
import type { GrpcTarget } from '../../../src/xds/grpc-target.ts'
import { bytesMethod } from '../../harness/grpc-bytes.ts'

export type ByteStream = ServerDuplexStream<Buffer, Buffer>

/** A control plane of bytes: answers the first message of each stream of `DELTA.method`, and then does as told. @returns its address */
export async function bytePlane(t: Test, then: (stream: ByteStream) => void): Promise<string> {
  const server = new Server()
  t.teardown(() => server.forceShutdown())
  const delta = (stream: ByteStream): void => {
    stream.on('error', () => {})
    stream.once('data', () => {
      stream.write(Buffer.from('answer'))
      then(stream)
    })
  }
  server.addService({ delta: bytesMethod(DELTA.method, true, true) }, { delta })
  return await new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(`127.0.0.1:${port}`) : reject(error),
    )
  })
}

/** As a bootstrap names it, without TLS and keepalive. */
export function target(address: string, more: Partial<GrpcTarget> = {}): GrpcTarget {
  return {
    name: 'plane',
    statsName: '',
    connectionPerStream: false,
    addresses: [address],
    authority: '',
    tls: null,
    metadata: [],
    retryBase: 500,
    retryMax: 30_000,
    keepaliveInterval: 0,
    keepaliveTimeout: 0,
    ...more,
  }
}
