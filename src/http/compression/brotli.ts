import { lazyMinizlib } from '../../base/lazy-modules.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { defineSupport } from '../../config/support.ts'
import { type CompressionFactory, StreamCompressor } from './compressor.ts'

type Proto = envoy.extensions.compression.brotli.compressor.v3.Brotli

const support = defineSupport<Proto>('envoy.extensions.compression.brotli.compressor.v3.Brotli', {
  quality: 'yes',
  encoder_mode: 'yes',
  window_bits: 'yes',
  input_block_bits: 'yes',
  chunk_size: 'yes',
  disable_literal_context_modeling: 'yes',
})

interface BrotliConfig {
  readonly quality: number
  readonly mode: number
  readonly windowBits: number
  readonly blockBits: number
  readonly chunkSize: number
  readonly literalContext: boolean
}

/** Brotli's numbers; DEFAULT is GENERIC. */
const MODES: Readonly<Record<string, number>> = { DEFAULT: 0, GENERIC: 0, TEXT: 1, FONT: 2 }

/** envoy.compression.brotli.compressor; defaults as in its config.h. */
export const brotliCompression: CompressionFactory<Proto, BrotliConfig> = {
  category: 'envoy.compression.compressor',
  name: 'envoy.compression.brotli.compressor',
  typeUrls: ['envoy.extensions.compression.brotli.compressor.v3.Brotli'],
  parse(proto, at, warnings) {
    support.check(proto, at, warnings)
    return {
      quality: proto.quality ?? 3,
      mode: MODES[String(proto.encoder_mode ?? 'DEFAULT')] ?? 0,
      windowBits: proto.window_bits ?? 18,
      blockBits: proto.input_block_bits ?? 24,
      chunkSize: proto.chunk_size ?? 4096,
      literalContext: proto.disable_literal_context_modeling !== true,
    }
  },
  create: config => ({
    contentEncoding: 'br',
    statPrefix: 'brotli',
    newBody() {
      const { BrotliCompress, constants } = lazyMinizlib()
      const params = {
        [constants.BROTLI_PARAM_QUALITY]: config.quality,
        [constants.BROTLI_PARAM_MODE]: config.mode,
        [constants.BROTLI_PARAM_LGWIN]: config.windowBits,
        [constants.BROTLI_PARAM_LGBLOCK]: config.blockBits,
        [constants.BROTLI_PARAM_DISABLE_LITERAL_CONTEXT_MODELING]: config.literalContext ? 0 : 1,
      }
      const options = { finishFlush: constants.BROTLI_OPERATION_FINISH, chunkSize: config.chunkSize, params }
      return new StreamCompressor(new BrotliCompress(options), constants.BROTLI_OPERATION_FLUSH)
    },
  }),
}
