import type * as Grpc from '@grpc/grpc-js'

let library: typeof Grpc | null = null

/** gRPC and what it needs of Node (http2, tls, zlib) take 30 ms to load, as long as the proxy needs to be started and to come to its first request. */
export async function loadGrpc(): Promise<typeof Grpc> {
  library ??= await import('@grpc/grpc-js')
  return library
}

/** For what runs only inside a call of gRPC. */
export function loadedGrpc(): typeof Grpc {
  if (library === null) throw new Error('gRPC is not loaded yet')
  return library
}
