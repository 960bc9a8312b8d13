import { lazyMinizlib } from '../../base/lazy-modules.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { defineSupport } from '../../config/support.ts'
import { type CompressionFactory, StreamCompressor } from './compressor.ts'

type Proto = envoy.extensions.compression.gzip.compressor.v3.Gzip

const support = defineSupport<Proto>('envoy.extensions.compression.gzip.compressor.v3.Gzip', {
  memory_level: 'yes',
  compression_level: 'yes',
  compression_strategy: 'yes',
  window_bits: 'yes',
  chunk_size: 'yes',
})

interface GzipConfig {
  readonly memLevel: number
  readonly level: number
  readonly strategy: number
  readonly windowBits: number
  readonly chunkSize: number
}

/** Names of the API → zlib's numbers; a name with a number at its end means that number. */
const LEVELS: Readonly<Record<string, number>> = { DEFAULT_COMPRESSION: -1, BEST_SPEED: 1, BEST_COMPRESSION: 9 }
const STRATEGIES: Readonly<Record<string, number>> = {
  DEFAULT_STRATEGY: 0,
  FILTERED: 1,
  HUFFMAN_ONLY: 2,
  RLE: 3,
  FIXED: 4,
}

/** envoy.compression.gzip.compressor; defaults as in its config.cc. */
export const gzipCompression: CompressionFactory<Proto, GzipConfig> = {
  category: 'envoy.compression.compressor',
  name: 'envoy.compression.gzip.compressor',
  typeUrls: ['envoy.extensions.compression.gzip.compressor.v3.Gzip'],
  parse(proto, at, warnings) {
    support.check(proto, at, warnings)
    const level = String(proto.compression_level ?? 'DEFAULT_COMPRESSION')
    return {
      memLevel: proto.memory_level ?? 5,
      level: LEVELS[level] ?? Number(level.slice(level.lastIndexOf('_') + 1)),
      strategy: STRATEGIES[String(proto.compression_strategy ?? 'DEFAULT_STRATEGY')] ?? 0,
      windowBits: proto.window_bits ?? 12,
      chunkSize: proto.chunk_size ?? 4096,
    }
  },
  create: config => ({
    contentEncoding: 'gzip',
    statPrefix: 'gzip',
    newBody() {
      const { Gzip, constants } = lazyMinizlib()
      return new StreamCompressor(new Gzip({ ...config }), constants.Z_SYNC_FLUSH)
    },
  }),
}
