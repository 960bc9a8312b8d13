import { gzipSync } from 'node:zlib'
import t from 'tap'
import { isWasm, pluginOfLayer, unbox } from '../../../../src/agent/wasm/unpack.ts'
import { tar, tarEntry, wasmModule } from './packing.ts'

const MAX = 1 << 20
const MODULE = wasmModule('x'.repeat(700))

t.test('a module begins with its magic number and has a version', async t => {
  t.ok(isWasm(MODULE))
  t.notOk(isWasm(MODULE.subarray(0, 7)))
  t.notOk(isWasm(Buffer.from('not a module')))
})

t.test('a module is taken out of gzip and tar, in any order; of an archive the first file', async t => {
  const archive = tar(tarEntry('any.bin', MODULE), tarEntry('plugin.wasm', wasmModule('second')))
  for (const packed of [MODULE, gzipSync(MODULE), archive, gzipSync(archive), gzipSync(gzipSync(archive))]) {
    t.same(await unbox(packed, MAX), MODULE)
  }
})

t.test('what holds no module stays as it is', async t => {
  const deep = Array.from({ length: 9 }).reduce<Buffer>(packed => gzipSync(packed), MODULE)
  const other = [Buffer.from('text'), gzipSync('text'), tar(tarEntry('a', Buffer.from('text'))), Buffer.alloc(0), deep]
  const broken = [gzipSync(MODULE).subarray(0, 30), tar(tarEntry('a', MODULE)).subarray(0, 600)]
  for (const bytes of [...other, ...broken]) t.equal(await unbox(bytes, MAX), bytes)
})

t.test('what unpacks to more than the limit stays packed', async t => {
  const bomb = gzipSync(Buffer.concat([MODULE, Buffer.alloc(MAX)]))
  t.equal(await unbox(bomb, MAX), bomb)
  await t.rejects(pluginOfLayer(bomb, MAX), /failed to parse layer as tar.gz/)
})

t.test('plugin.wasm is found in any folder, behind long names and other files', async t => {
  const long = `${'folder/'.repeat(30)}plugin.wasm`
  const record = (text: string): Buffer => Buffer.from(`${text.length + 4} ${text}\n`)
  const archives = [
    tar(tarEntry('plugin.wasm', MODULE)),
    tar(
      tarEntry('./', Buffer.alloc(0), '5'),
      tarEntry('./README', Buffer.alloc(513, 65)),
      tarEntry('./plugin.wasm', MODULE),
    ),
    tar(tarEntry('plugin.wasm', MODULE, '0', 'some/folder')),
    tar(tarEntry('././@LongLink', Buffer.from(`${long}\0`), 'L'), tarEntry(long.slice(0, 99), MODULE)),
    tar(tarEntry('PaxHeaders/1', record('path=some/plugin.wasm'), 'x'), tarEntry('short', MODULE)),
    tar(tarEntry('pax_global_header', record('comment=0123456789'), 'g'), tarEntry('plugin.wasm', MODULE)),
  ]
  for (const archive of archives) t.same(await pluginOfLayer(gzipSync(archive), MAX), MODULE)
})

t.test('an archive without plugin.wasm, a cut one and a forged one are errors', async t => {
  const archive = tar(tarEntry('plugin.wasm', MODULE))
  const forged = Buffer.from(archive)
  forged.write('77777777777\0', 124)
  await t.rejects(pluginOfLayer(gzipSync(forged), MAX), /invalid tar header/)
  await t.rejects(pluginOfLayer(gzipSync(archive.subarray(0, 900)), MAX), /unexpected EOF in tar archive/)
  await t.rejects(pluginOfLayer(gzipSync(tar(tarEntry('other.wasm', MODULE))), MAX), /plugin.wasm not found/)
  await t.rejects(pluginOfLayer(archive, MAX), /failed to parse layer as tar.gz/)
  for (const size of ['some', '1e300', '99999999']) {
    const pax = tarEntry('PaxHeaders/1', Buffer.from(`${size.length + 9} size=${size}\n`), 'x')
    await t.rejects(pluginOfLayer(gzipSync(tar(pax, tarEntry('plugin.wasm', MODULE))), MAX), /tar archive|pax record/)
  }
})
