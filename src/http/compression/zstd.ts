import { lazyMinizlib } from '../../base/lazy-modules.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { defineSupport } from '../../config/support.ts'
import { type CompressionFactory, StreamCompressor } from './compressor.ts'

type Proto = envoy.extensions.compression.zstd.compressor.v3.Zstd

const support = defineSupport<Proto>('envoy.extensions.compression.zstd.compressor.v3.Zstd', {
  compression_level: 'yes',
  enable_checksum: 'yes',
  strategy: 'yes',
  chunk_size: 'yes',
  dictionary: 'reject',
})

interface ZstdConfig {
  readonly level: number
  readonly checksum: boolean
  /** 0 = what the level implies. */
  readonly strategy: number
  readonly chunkSize: number
}

/** In the order of ZSTD_strategy, which begins at 1 (zstd.h). */
const STRATEGIES = ['DEFAULT', 'FAST', 'DFAST', 'GREEDY', 'LAZY', 'LAZY2', 'BTLAZY2', 'BTOPT', 'BTULTRA', 'BTULTRA2']

/** envoy.compression.zstd.compressor; defaults as in its config.cc. */
export const zstdCompression: CompressionFactory<Proto, ZstdConfig> = {
  category: 'envoy.compression.compressor',
  name: 'envoy.compression.zstd.compressor',
  typeUrls: ['envoy.extensions.compression.zstd.compressor.v3.Zstd'],
  parse(proto, at, warnings) {
    support.check(proto, at, warnings)
    return {
      level: proto.compression_level ?? 3,
      checksum: proto.enable_checksum ?? false,
      strategy: Math.max(0, STRATEGIES.indexOf(String(proto.strategy ?? 'DEFAULT'))),
      chunkSize: proto.chunk_size ?? 4096,
    }
  },
  create: config => ({
    contentEncoding: 'zstd',
    statPrefix: 'zstd',
    newBody() {
      const { ZstdCompress, constants } = lazyMinizlib()
      const params = {
        [constants.ZSTD_c_compressionLevel!]: config.level,
        [constants.ZSTD_c_checksumFlag!]: config.checksum ? 1 : 0,
        ...(config.strategy === 0 ? {} : { [constants.ZSTD_c_strategy!]: config.strategy }),
      }
      const options = { finishFlush: constants.ZSTD_e_end, chunkSize: config.chunkSize, params }
      return new StreamCompressor(new ZstdCompress(options), constants.ZSTD_e_flush)
    },
  }),
}
