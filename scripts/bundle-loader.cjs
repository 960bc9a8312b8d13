/**
 * Starts one bundle of `scripts/bundle.ts` from V8's code cache: no function is compiled again that an earlier run has needed.
 * Node's own compile cache is not used: its files are bound to one user and one kind of processor, so it cannot be shipped.
 */
const { readFileSync, rename, unlink, writeFile } = require('node:fs')
const { Script, constants } = require('node:vm')
const { getEnvironmentData, setEnvironmentData, threadId } = require('node:worker_threads')

/** Long enough for a start to have run through the code that starts need. */
const CACHE_AFTER_MS = 2000
/** Where the header of a code cache names V8's flags: after magic number, version and length of the source, 32 bits each. */
const FLAGS_AT = 12
const EARLY_FLAGS = 'remora: V8 flags of the start'

module.exports = (name, id) => {
  const file = `${__dirname}/${name}.js`
  const cache = `${__dirname}/${name}.${id}.cache`
  showSources(file)
  // V8 takes a cache only under the flags it was made under. src/base/regex.ts and collect-garbage.ts set flags that no code depends on,
  // while threads load and before the cache is written: it always says those of the start. They must not be set here, before: Node's own
  // modules come from a cache too, whose flags are the default ones, and would be compiled anew in every thread.
  const flags = flagsNow()
  if (getEnvironmentData(EARLY_FLAGS) === undefined) setEnvironmentData(EARLY_FLAGS, flags)
  const early = getEnvironmentData(EARLY_FLAGS)
  const cachedData = readCache(cache)
  if (cachedData?.readUInt32LE(FLAGS_AT) === early) cachedData.writeUInt32LE(flags, FLAGS_AT)
  const script = new Script(readFileSync(file, 'latin1'), {
    filename: file,
    cachedData,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  })
  if (cachedData === undefined || script.cachedDataRejected) {
    setTimeout(() => writeCache(cache, script, early), CACHE_AFTER_MS).unref()
  }
  script.runInThisContext()(require, module, exports, file, __dirname)
}

/** As a cache that is made now names them. */
function flagsNow() {
  return new Script('').createCachedData().readUInt32LE(FLAGS_AT)
}

/** Undefined if there is none, or one without a whole header: shorter than it says is what V8 finds out itself. */
function readCache(path) {
  try {
    const data = readFileSync(path)
    return data.length < FLAGS_AT + 4 ? undefined : data
  } catch {
    return undefined
  }
}

/** Where the installation is read-only every start compiles. */
function writeCache(path, script, flags) {
  const partial = `${path}.${process.pid}.${threadId}`
  const data = script.createCachedData()
  data.writeUInt32LE(flags, FLAGS_AT)
  // It is on the disk before it has the name: V8 does not look for holes that a machine that lost its power has left, and crashes.
  writeFile(partial, data, { flush: true }, error => {
    const end = () => {}
    if (error === null) rename(partial, path, end)
    else unlink(partial, end)
  })
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
