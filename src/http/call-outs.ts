import type { HeaderBlock } from '../codec/header-block.ts'
import type { GrpcServiceConfig } from '../config/grpc-service.ts'
import type {
  CallOptions,
  CallOuts,
  CallUser,
  GrpcClient,
  PendingCall,
  TcpCall,
  TcpCallUser,
  WorkerServices,
} from '../config/services.ts'
import { AsyncCall, addInternalHeaders } from './async-client.ts'
import { AsyncGrpcClient } from './grpc-call.ts'
import { AsyncTcpCall } from './tcp-call.ts'

/** Calls of one worker's extensions. `localAddress`: the machine's own, which calls name as their client. */
export class AsyncCallOuts implements CallOuts {
  readonly #services: WorkerServices
  readonly #localAddress: string

  constructor(services: WorkerServices, localAddress: string) {
    this.#services = services
    this.#localAddress = localAddress
  }

  http(options: CallOptions, head: HeaderBlock, body: Uint8Array | null, user: CallUser): PendingCall {
    addInternalHeaders(head, this.#localAddress, options.forwardedFor)
    const call = new AsyncCall(this.#services, options, head, body, user)
    call.start()
    return call
  }

  grpc(service: GrpcServiceConfig): GrpcClient {
    return new AsyncGrpcClient(service, this.#services, this.#localAddress)
  }

  tcp(cluster: string, user: TcpCallUser): TcpCall {
    const call = new AsyncTcpCall(user)
    call.start(cluster, this.#services.clusters)
    return call
  }
}
