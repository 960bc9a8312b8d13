import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Each runs as a process of its own: `remora bench` and `compare`, their load generators, its upstreams, the proxies written for Node. */
const PROGRAMS = [
  'run',
  'compare',
  'open-loop/main',
  'drivers/exchange',
  'drivers/handshakes',
  'drivers/idle',
  'peers/http2-proxy',
  'peers/node-proxy',
  'upstreams/delta-xds',
  'upstreams/main',
]

/** The programs of the bench for the published package: ES modules, which their names have to say beside CommonJS. */
export async function bundleBench(folder: string): Promise<void> {
  await build({
    absWorkingDir: root,
    // In one folder, so that what looks for proto/ beside dist/ finds it.
    entryPoints: Object.fromEntries(PROGRAMS.map(name => [name.replace('/', '-'), `bench/load/${name}.ts`])),
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node26',
    packages: 'external',
    sourcemap: 'linked',
    logLevel: 'warning',
  })
}
