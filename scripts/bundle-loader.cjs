/**
 * Starts one bundle of `scripts/bundle.ts` from V8's code cache: no function is compiled again that an earlier run has needed.
 * Node's own compile cache is not used: its files are bound to one user and one kind of processor, so it cannot be shipped.
 */
const { readFileSync, renameSync, writeFileSync } = require('node:fs')
const { setFlagsFromString } = require('node:v8')
const { Script, constants } = require('node:vm')
const { threadId } = require('node:worker_threads')

/** Long enough for a start to have run through the code that starts need. */
const CACHE_AFTER_MS = 2000

// V8 takes a cache only under the flags it was made under, and src/base/regex.ts and collect-garbage.ts set these while the bundle runs.
setFlagsFromString('--enable-experimental-regexp-engine')
setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks')
setFlagsFromString('--regexp-backtracks-before-fallback=10000')
setFlagsFromString('--expose-gc')
// A start keeps nearly all that it allocates: with a young generation that grows from 1 MB in steps of two it is copied over and over.
setFlagsFromString('--semi-space-growth-factor=8')
setFlagsFromString('--no-memory-pool')
setFlagsFromString('--memory-pool-timeout=0')

module.exports = (name, id) => {
  const file = `${__dirname}/${name}.js`
  const cache = `${__dirname}/${name}.${id}.cache`
  showSources(file)
  const cachedData = readCache(cache)
  const script = new Script(readFileSync(file, 'latin1'), {
    filename: file,
    cachedData,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  })
  if (cachedData === undefined || script.cachedDataRejected) {
    setTimeout(() => writeCache(cache, script), CACHE_AFTER_MS).unref()
  }
  script.runInThisContext()(require, module, exports, file, __dirname)
}

function readCache(path) {
  try {
    return readFileSync(path)
  } catch {
    return undefined
  }
}

function writeCache(path, script) {
  const partial = `${path}.${process.pid}.${threadId}`
  try {
    writeFileSync(partial, script.createCachedData())
    renameSync(partial, path)
  } catch {
    // The installation is read-only: every start compiles.
  }
}

/** Stack traces name the lines of src/: `<bundle>.lines` holds, after a line of file names, file << 20 | line for each line. */
function showSources(file) {
  let lines
  let names
  const load = () => {
    const bytes = readFileSync(`${file}.lines`)
    const end = bytes.indexOf(10)
    names = JSON.parse(bytes.subarray(0, end).toString())
    lines = new Uint32Array(Uint8Array.from(bytes.subarray(end + 1)).buffer)
  }
  const place = (whole, line) => {
    const packed = lines[Number(line) - 1] ?? 0
    return packed === 0 ? whole : `${names[packed >>> 20]}:${packed & 0xfffff}:`
  }
  const pattern = new RegExp(`${file.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}:(\\d+):`)
  Error.prepareStackTrace = (error, frames) => {
    let text
    try {
      text = Error.prototype.toString.call(error)
      if (lines === undefined) load()
    } catch {
      lines ??= new Uint32Array(0)
      text ??= 'Error'
    }
    for (const frame of frames) text += `\n    at ${String(frame).replace(pattern, place)}`
    return text
  }
}
