import type { envoy } from '../../config/gen/messages.d.ts'
import { defineSupport } from '../../config/support.ts'
import type { HttpFilter } from '../filter.ts'
import type { HttpFilterFactory } from '../filter-factory.ts'

type Proto = envoy.extensions.filters.http.compressor.v3.Compressor

/**
 * Responses are not compressed: identity is an answer to every Accept-Encoding (RFC 9110 §12.5.3), and Istio's bootstrap
 * has three of these in front of the metrics. Compression of requests would be for an upstream that expects it.
 */
const support = defineSupport<Proto>('envoy.extensions.filters.http.compressor.v3.Compressor', {
  compressor_library: 'warn',
  response_direction_config: 'warn',
  choose_first: 'warn',
  request_direction_config: 'reject',
})

export const compressorFactory: HttpFilterFactory<Proto, null> = {
  category: 'envoy.filters.http',
  name: 'envoy.filters.http.compressor',
  typeUrls: ['envoy.extensions.filters.http.compressor.v3.Compressor'],
  parse(proto, at, warnings) {
    support.check(proto, at, warnings)
    return null
  },
  create: () => new CompressorFilter(),
}

class CompressorFilter implements HttpFilter {
  index = 0
  name = ''
}
