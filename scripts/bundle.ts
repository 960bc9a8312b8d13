/**
 * Makes one file each of the commands and of the worker, and the `.cjs` files that start them. The package ships this as dist/;
 * a clone makes it when its sources are newer (bin/launch.sh), because loading 300 modules one by one takes longer than all else.
 */
import { createHash } from 'node:crypto'
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, type Plugin } from 'esbuild'
import packageJson from '../package.json' with { type: 'json' }

const root = fileURLToPath(new URL('..', import.meta.url))
const { dependencies, devDependencies } = packageJson

const ENTRIES = {
  envoy: 'src/cmd/envoy.ts',
  'pilot-agent': 'src/cmd/pilot-agent.ts',
  remora: 'src/cmd/remora.ts',
  worker: 'src/worker/main.ts',
}

/**
 * Packages stay what npm installs, but for those that agent and proxy load before they are ready: resolving and compiling the
 * 120 files of grpc-js and prom-client one by one takes 60 ms of both. What is here is loaded late or never (grpc-js itself needs
 * its proto-loader only for services of its own, which are not used).
 */
const EXTERNAL = [
  ...Object.keys(dependencies).filter(name => name !== '@grpc/grpc-js' && name !== 'prom-client'),
  '@grpc/proto-loader',
  ...Object.keys(devDependencies),
]

/** What prom-client loads for nobody here: a push gateway (https, zlib) and clusters of processes (cluster, child_process). */
const withoutUnused: Plugin = {
  name: 'without-unused',
  setup: ({ onLoad }) =>
    onLoad({ filter: /prom-client\/lib\/(pushgateway|cluster)\.js$/ }, () => ({ contents: 'module.exports = null' })),
}

/** CommonJS: the loader of ES modules brings 15 ms of Node's own modules with it (streams, readline, fs/promises), per thread. */
export async function bundle(folder: string): Promise<void> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ENTRIES,
    outdir: folder,
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node26',
    external: EXTERNAL,
    plugins: [withoutUnused],
    // Comments and blanks are a third of the text, which every thread keeps; one character above ASCII would double it.
    minifyWhitespace: true,
    minifySyntax: true,
    lineLimit: 60,
    charset: 'ascii',
    legalComments: 'none',
    sourcemap: 'external',
    sourcesContent: false,
    define: { 'import.meta.url': '__url', 'import.meta.dirname': '__dirname' },
    banner: {
      js: "(function(require,module,exports,__filename,__dirname){const __url='file://'+encodeURI(__filename);",
    },
    footer: { js: '})' },
    write: false,
    logLevel: 'warning',
  })
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const { path, text } of outputFiles) {
    const name = basename(path, '.js')
    if (!path.endsWith('.map')) {
      writeFileSync(path, escapeNonAscii(text))
      // V8 tells a source from another by its length only: the name of the code cache must tell the rest.
      const id = createHash('sha256').update(text).digest('hex').slice(0, 16)
      writeFileSync(join(folder, `${name}.cjs`), `require('./loader.cjs')('${name}', '${id}')\n`)
    } else writeFileSync(path.replace(/\.map$/, '.lines'), lineTable(text, dirname(path)))
  }
  copyFileSync(join(root, 'scripts/bundle-loader.cjs'), join(folder, 'loader.cjs'))
  // Under "type": "module" a .js file would be an ES module.
  writeFileSync(join(folder, 'package.json'), '{ "type": "commonjs" }\n')
}

/** The loader reads latin1; what esbuild leaves unescaped stands in regular expressions. */
function escapeNonAscii(text: string): string {
  return text.replace(/[\u0080-\uffff]/g, c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** The first source position of each line of a bundle, in the form that the loader reads without parsing. */
function lineTable(map: string, folder: string): Buffer {
  const { mappings, sources } = JSON.parse(map) as { mappings: string; sources: string[] }
  const names = sources.map(source => relative(root, resolve(folder, source)))
  const lines = mappings.split(';')
  const table = new Uint32Array(lines.length)
  let source = 0
  let line = 0
  for (const [i, segments] of lines.entries()) {
    for (const segment of segments === '' ? [] : segments.split(',')) {
      const [, toSource, toLine] = decodeVlq(segment)
      if (toSource === undefined || toLine === undefined) continue
      source += toSource
      line += toLine
      if (table[i] === 0) table[i] = (source << 20) | (line + 1)
    }
  }
  return Buffer.concat([Buffer.from(`${JSON.stringify(names)}\n`), Buffer.from(table.buffer)])
}

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

/** One segment of a source map (ECMA-426 §9.2). */
function decodeVlq(segment: string): number[] {
  const out: number[] = []
  let value = 0
  let shift = 0
  for (const character of segment) {
    const digit = BASE64.indexOf(character)
    value |= (digit & 31) << shift
    shift += 5
    if ((digit & 32) !== 0) continue
    out.push((value & 1) === 1 ? -(value >>> 1) : value >>> 1)
    value = 0
    shift = 0
  }
  return out
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundle(resolve(process.argv[2] ?? 'dist'))
