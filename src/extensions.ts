import { registeredFactories, registerFactories } from './config/registry.ts'
import { corsFactory } from './http/filters/cors.ts'
import { faultFactory } from './http/filters/fault.ts'
import { routerFactory } from './http/filters/router.ts'
import { downstreamRawBuffer, upstreamRawBuffer } from './io/transport-sockets/raw-buffer.ts'
import { downstreamTls, upstreamTls } from './io/transport-sockets/tls.ts'
import { httpConnectionManagerFactory } from './network/filters/http-connection-manager.ts'

/** Every extension of the proxy, and the only list of them. Main parses with these, workers create from them. */
const EXTENSIONS = [
  httpConnectionManagerFactory,
  routerFactory,
  corsFactory,
  faultFactory,
  downstreamRawBuffer,
  upstreamRawBuffer,
  downstreamTls,
  upstreamTls,
]

/** Once per thread; calling it again does nothing. */
export function registerExtensions(): void {
  if (registeredFactories().length === 0) registerFactories(EXTENSIONS as never)
}
