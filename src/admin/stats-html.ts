import { type AdminParameter, type AdminResponse, HTML_TYPE } from './handler.ts'
import { escapeHtml, page } from './page.ts'

/** /stats?format=html: the form to change the choice, and the text form below it. */
export function statsPage(
  parameters: readonly AdminParameter[],
  query: ReadonlyMap<string, string>,
  stats: string,
): AdminResponse {
  const body = `${form(parameters, query)}<pre>\n${escapeHtml(stats)}</pre>\n`
  return { status: 200, contentType: HTML_TYPE, body: page(body) }
}

/** /stats?format=active-html: asks for JSON every few seconds and shows what changes most often first. */
export function activeStatsPage(
  parameters: readonly AdminParameter[],
  query: ReadonlyMap<string, string>,
): AdminResponse {
  const body = `${form(parameters, query)}
<div id='error-status-div' class='error-status-line'></div>
<div id='active-content-div'><pre id='active-content-pre'></pre></div>
`
  return { status: 200, contentType: HTML_TYPE, body: page(body, SCRIPT) }
}

function form(parameters: readonly AdminParameter[], query: ReadonlyMap<string, string>): string {
  const rows = parameters.map(parameter => {
    const { name, help, oneOf } = parameter
    const value = query.get(name)
    const id = `param-0-stats-${name}`
    let input = `<input type='text' name='${name}' id='${id}' value='${escapeHtml(value ?? '')}' />`
    if (parameter.kind === 'flag') {
      input = `<input type='checkbox' name='${name}' id='${id}'${value === undefined ? '' : ' checked'}>`
    } else if (oneOf !== undefined) {
      const options = oneOf.map(o => `<option value='${o}'${o === value ? ' selected' : ''}>${o}</option>`)
      input = `<select name='${name}' id='${id}'>${options.join('')}</select>`
    }
    return `  <tr><td class='option'>${input}</td><td class='home-data'><label for='${id}'>${escapeHtml(help)}</label></td></tr>\n`
  })
  return `<form action='stats' method='get' id='stats' class='home-form'>
<table class='home-table'>
  <tr><td class='home-data'><button class='button-as-link'>stats</button></td><td class='home-data'>print server stats</td></tr>
${rows.join('')}</table>
</form>
`
}

/** No framework and nothing from elsewhere: the page works in a pod without a way out. Names go in as text, never as HTML. */
const SCRIPT = `
const changes = new Map()
const pre = document.getElementById('active-content-pre')
const error = document.getElementById('error-status-div')
async function show() {
  const query = new URLSearchParams(new FormData(document.getElementById('stats')))
  query.set('format', 'json')
  query.set('histogram_buckets', 'summary')
  try {
    const { stats } = await (await fetch('stats?' + query)).json()
    const flat = []
    for (const stat of stats) {
      if (stat.histograms === undefined) flat.push([stat.name, String(stat.value)])
      else for (const h of stat.histograms.computed_quantiles ?? []) {
        flat.push([h.name, h.values.map((v, i) => 'P' + stat.histograms.supported_quantiles[i] + '(' + v.interval + ',' + v.cumulative + ')').join(' ')])
      }
    }
    for (const [name, value] of flat) {
      const known = changes.get(name)
      if (known === undefined) changes.set(name, { value, count: 0 })
      else if (known.value !== value) changes.set(name, { value, count: known.count + 1 })
    }
    flat.sort((a, b) => changes.get(b[0]).count - changes.get(a[0]).count || (a[0] < b[0] ? -1 : 1))
    pre.textContent = flat.map(([name, value]) => name + ': ' + value).join('\\n')
    error.textContent = ''
  } catch (failure) {
    error.textContent = 'Error fetching stats: ' + failure
  }
}
document.getElementById('stats').addEventListener('change', show)
show()
setInterval(show, 5000)
`
