/**
 * `node bench/profile/flame-graph.ts FILE.cpuprofile OUT.svg [TITLE]`: what `node --cpu-prof` wrote as a flame graph. Width is time,
 * callers are below; idle time and the loading of modules are left out. Hovering names a function and its share.
 */
import { readFileSync, writeFileSync } from 'node:fs'

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
    readonly children?: readonly number[]
  }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

interface Frame {
  readonly name: string
  readonly children: Map<string, Frame>
  /** µs, with what it called. */
  total: number
}

const WIDTH = 1200
const ROW = 17
/** Narrower frames are not drawn. */
const LEAST = 0.003
const LEFT_OUT = /^\((idle|program)\)$|compileSourceTextModule|compileForInternalLoader|ModuleJob|importSync|Module\._/

const LAYERS: Readonly<Record<string, string>> = {
  io: '#f7e08a',
  codec: '#f7c667',
  http: '#f2a65a',
  upstream: '#ee8e6a',
  telemetry: '#e99aa9',
  stats: '#e6b3d0',
}

const [input, output, title = 'CPU of a worker thread'] = process.argv.slice(2)
if (input === undefined || output === undefined) {
  console.error('usage: node bench/profile/flame-graph.ts FILE.cpuprofile OUT.svg [TITLE]')
  process.exit(2)
}
writeFileSync(output, draw(merge(JSON.parse(readFileSync(input, 'utf8')) as CpuProfile), title))

function merge(profile: CpuProfile): Frame {
  const nodes = new Map(profile.nodes.map(node => [node.id, node]))
  const parents = new Map<number, number>()
  for (const node of profile.nodes) for (const child of node.children ?? []) parents.set(child, node.id)
  const root: Frame = { name: 'all', children: new Map(), total: 0 }
  for (let i = 0; i < profile.samples.length; i++) {
    const time = profile.timeDeltas[i]!
    const path: string[] = []
    for (let id: number | undefined = profile.samples[i]; id !== undefined; id = parents.get(id)) {
      const { functionName, url, lineNumber } = nodes.get(id)!.callFrame
      if (functionName === '(root)') continue
      const place = url === '' ? '' : ` ${url.replace(/^.*\/(?=(src|bench|node_modules)\/)/, '')}:${lineNumber + 1}`
      path.unshift(`${functionName === '' ? '(anonymous)' : functionName}${place}`)
    }
    if (path.some(name => LEFT_OUT.test(name))) continue
    root.total += time
    let at = root
    for (const name of path) {
      let next = at.children.get(name)
      if (next === undefined) {
        next = { name, children: new Map(), total: 0 }
        at.children.set(name, next)
      }
      next.total += time
      at = next
    }
  }
  return root
}

function draw(root: Frame, heading: string): string {
  const boxes: string[] = []
  let depth = 0
  const place = (frame: Frame, x: number, level: number): void => {
    const width = (frame.total / root.total) * WIDTH
    if (frame.total / root.total < LEAST) return
    depth = Math.max(depth, level)
    boxes.push(box(frame, x, width, level, root.total))
    let at = x
    for (const child of [...frame.children.values()].sort((a, b) => b.total - a.total)) {
      place(child, at, level + 1)
      at += (child.total / root.total) * WIDTH
    }
  }
  place(root, 0, 0)
  const height = (depth + 1) * ROW + 34
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="11" role="img">
<title>${escaped(heading)}</title>
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
<text x="6" y="18" font-size="14" fill="#222">${escaped(heading)}</text>
<g transform="translate(0 ${height - ROW}) scale(1 -1)">
${boxes.join('\n')}
</g>
</svg>
`
}

function box(frame: Frame, x: number, width: number, level: number, all: number): string {
  const y = level * ROW - ROW + ROW
  const share = ((100 * frame.total) / all).toFixed(1)
  const letters = Math.floor((width - 6) / 6)
  const short = frame.name.split(' ')[0]!
  const label = letters < 3 ? '' : short.length <= letters ? short : `${short.slice(0, letters - 1)}…`
  // The picture is upside down, so that callers are below: texts are turned back.
  const text =
    label === ''
      ? ''
      : `<text transform="translate(${(x + 3).toFixed(1)} ${y + 5}) scale(1 -1)" fill="#222">${escaped(label)}</text>`
  return `<g><title>${escaped(frame.name)}: ${share} %</title><rect x="${x.toFixed(1)}" y="${y}" width="${Math.max(0.5, width - 0.5).toFixed(1)}" height="${ROW - 1}" fill="${colour(frame.name)}"/>${text}</g>`
}

/** Native code grey, Node's own JavaScript blue, ours by layer from yellow to red. */
function colour(name: string): string {
  const folder = /src\/([a-z]+)\//.exec(name)?.[1]
  if (folder === undefined) return / node:|internal\//.test(name) ? '#9ec5e8' : '#d0d0d0'
  return LAYERS[folder] ?? '#f4c27a'
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`)
}
