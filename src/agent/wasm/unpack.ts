import { posix } from 'node:path'
import { promisify } from 'node:util'
import { lazyZlib } from '../../base/lazy-modules.ts'

const PLUGIN = 'plugin.wasm'
const BLOCK = 512
/** A gzip that unpacks to itself exists. */
const MAX_BOXES = 8

/** Magic number and version. */
export function isWasm(bytes: Uint8Array): boolean {
  return bytes.length >= 8 && bytes[0] === 0 && bytes[1] === 0x61 && bytes[2] === 0x73 && bytes[3] === 0x6d
}

/** The module in any nesting of gzip and tar (the first file of an archive), or `origin` when there is none. Never rejects. */
export async function unbox(origin: Buffer, maxBytes: number): Promise<Buffer> {
  let bytes = origin
  for (let i = 0; i < MAX_BOXES; i++) {
    if (isWasm(bytes)) return bytes
    try {
      if (isGzip(bytes)) bytes = await gunzip(bytes, maxBytes)
      else if (isTar(bytes)) bytes = tarFile(bytes, () => true) ?? origin
      else return origin
    } catch {
      return origin
    }
  }
  return origin
}

/** plugin.wasm, in any folder of a tar.gz. Rejects with Error. */
export async function pluginOfLayer(layer: Buffer, maxBytes: number): Promise<Buffer> {
  let archive: Buffer
  try {
    archive = await gunzip(layer, maxBytes)
  } catch (error) {
    throw new Error(`failed to parse layer as tar.gz: ${(error as Error).message}`)
  }
  const found = tarFile(archive, name => posix.basename(name) === PLUGIN)
  if (found === null) throw new Error(`${PLUGIN} not found in the archive`)
  return found
}

function isGzip(bytes: Uint8Array): boolean {
  return bytes.length > 2 && bytes[0] === 0x1f && bytes[1] === 0x8b
}

function isTar(bytes: Buffer): boolean {
  return bytes.length > 262 && bytes.toString('latin1', 257, 262) === 'ustar'
}

async function gunzip(bytes: Buffer, maxOutputLength: number): Promise<Buffer> {
  const { gunzip: unzip } = lazyZlib()
  return await promisify<Buffer, { maxOutputLength: number }, Buffer>(unzip)(bytes, { maxOutputLength })
}

/**
 * The contents of the first entry whose name is wanted; null at the end. Entries that only describe the next one (pax `x`, GNU `L` and
 * `K`) give it its name. Throws Error on what is no archive.
 */
function tarFile(archive: Buffer, wanted: (name: string) => boolean): Buffer | null {
  let longName = ''
  let longSize = -1
  for (let at = 0; at + BLOCK <= archive.length; ) {
    const header = archive.subarray(at, at + BLOCK)
    if (header.every(byte => byte === 0)) return null
    checkSum(header)
    const type = String.fromCharCode(header[156]!)
    const describes = 'xgLK'.includes(type)
    const size = !describes && longSize >= 0 ? longSize : numberAt(header, 124, 12)
    at += BLOCK
    if (size > archive.length - at) throw new Error('unexpected EOF in tar archive')
    const contents = archive.subarray(at, at + size)
    at += Math.ceil(size / BLOCK) * BLOCK
    if (type === 'L') longName = textAt(contents, 0, contents.length)
    else if (type === 'x') {
      const records = paxRecords(contents)
      longName = records.get('path') ?? longName
      longSize = Number(records.get('size') ?? -1)
      if (!Number.isSafeInteger(longSize)) throw new Error('invalid size in tar archive')
    }
    if (describes) continue
    if (wanted(longName === '' ? nameOf(header) : longName)) return contents
    longName = ''
    longSize = -1
  }
  return null
}

function nameOf(header: Buffer): string {
  const name = textAt(header, 0, 100)
  // GNU archives (`ustar` and two blanks) have other things there.
  const prefix = header[262] === 0 ? textAt(header, 345, 155) : ''
  return prefix === '' ? name : `${prefix}/${name}`
}

function textAt(bytes: Buffer, start: number, length: number): string {
  const end = bytes.indexOf(0, start)
  return bytes.toString('utf8', start, end < 0 || end > start + length ? start + length : end)
}

/** Octal, or with the highest bit set big-endian (GNU). */
function numberAt(header: Buffer, start: number, length: number): number {
  if ((header[start]! & 0x80) !== 0) return Number(header.readBigUInt64BE(start + length - 8))
  const text = textAt(header, start, length).trim()
  if (!/^[0-7]*$/.test(text)) throw new Error('invalid tar header')
  return Number.parseInt(text || '0', 8)
}

function checkSum(header: Buffer): void {
  let sum = 0
  // The field itself counts as blanks.
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 0x20 : header[i]!
  if (sum !== numberAt(header, 148, 8)) throw new Error('invalid tar header')
}

/** `LENGTH KEY=VALUE\n`, one after the other; the length counts all of it. */
function paxRecords(bytes: Buffer): ReadonlyMap<string, string> {
  const records = new Map<string, string>()
  for (let at = 0; at < bytes.length; ) {
    const blank = bytes.indexOf(0x20, at)
    const length = Number(bytes.toString('latin1', at, Math.min(blank, at + 10)))
    if (blank < 0 || !Number.isInteger(length) || length < blank - at + 2 || at + length > bytes.length) {
      throw new Error('invalid pax record')
    }
    const text = bytes.toString('utf8', blank + 1, at + length - 1)
    const equals = text.indexOf('=')
    if (equals > 0) records.set(text.slice(0, equals), text.slice(equals + 1))
    at += length
  }
  return records
}
