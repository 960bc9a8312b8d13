/**
 * Modules of Node, and one package, that take 5 to 25 ms each to load, per thread, and that most configurations never need. Importing
 * them at the head of a file would put that on every start (test/arch forbids it); these load on first use and cost a map
 * lookup afterwards.
 */
import { createRequire } from 'node:module'

export const lazyTls = (): typeof import('node:tls') => process.getBuiltinModule('node:tls')

export const lazyHttps = (): typeof import('node:https') => process.getBuiltinModule('node:https')

export const lazyHttp2 = (): typeof import('node:http2') => process.getBuiltinModule('node:http2')

export const lazyCrypto = (): typeof import('node:crypto') => process.getBuiltinModule('node:crypto')

export const lazyDns = (): typeof import('node:dns/promises') => process.getBuiltinModule('node:dns/promises')

export const lazyZlib = (): typeof import('node:zlib') => process.getBuiltinModule('node:zlib')

export const lazyDgram = (): typeof import('node:dgram') => process.getBuiltinModule('node:dgram')

export const lazyStream = (): typeof import('node:stream') => process.getBuiltinModule('node:stream')

/** Without the warning that it is experimental: the pinned Node is the only one it has to fit. */
export function lazyFfi(): typeof import('node:ffi') {
  const warn = process.emitWarning
  process.emitWarning = () => {}
  try {
    return process.getBuiltinModule('node:ffi')
  } finally {
    process.emitWarning = warn
  }
}

let re2: typeof import('re2js') | null = null

export function lazyRe2(): typeof import('re2js') {
  re2 ??= createRequire(import.meta.url)('re2js') as typeof import('re2js')
  return re2
}

let minizlib: typeof import('minizlib') | null = null

export function lazyMinizlib(): typeof import('minizlib') {
  minizlib ??= createRequire(import.meta.url)('minizlib') as typeof import('minizlib')
  return minizlib
}
