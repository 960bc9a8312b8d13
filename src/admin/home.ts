import { type AdminHandler, type AdminParameter, HTML_TYPE } from './handler.ts'
import { escapeHtml, page } from './page.ts'

/** `/`: every endpoint as a link, or as a form where it changes something or takes parameters. */
export function homeHandler(handlers: () => readonly AdminHandler[]): AdminHandler {
  return {
    path: '/',
    help: 'Admin home page',
    mutates: false,
    handle: () => ({ status: 200, contentType: HTML_TYPE, body: homePage(handlers()) }),
  }
}

function homePage(handlers: readonly AdminHandler[]): string {
  let rows = ''
  handlers.forEach((handler, i) => {
    // As in Envoy `/` itself counts but is not shown, and every second row is gray.
    if (handler.path !== '/') rows += commandRows(handler, i + 1, i % 2 === 0)
  })
  return page(`  <table class='home-table'>
    <thead>
      <tr>
        <th class='home-data'>Command</th>
        <th class='home-data'>Description</th>
      </tr>
    </thead>
    <tbody>
${rows}
    </tbody>
  </table>
`)
}

function commandRows(handler: AdminHandler, index: number, gray: boolean): string {
  const row = gray ? "<tr class='gray'>" : '<tr>'
  // Relative, so that the page works behind a path of another server.
  const path = escapeHtml(handler.path.slice(1))
  const parameters = handler.parameters ?? []
  const command = parameters.length === 0 && !handler.mutates ? `<a href='${path}'>${path}</a>` : form(handler, path)
  let out = `
<tr class='vert-space'><td></td><td></td></tr>
${row}
  <td class='home-data'>${command}</td>
  <td class='home-data'>${escapeHtml(handler.help)}</td>
</tr>
`
  for (const parameter of parameters) {
    const id = `param-${index}-${path.replaceAll('/', '-')}-${escapeHtml(parameter.name)}`
    out += `${row}
  <td class='option'>${input(parameter, id, path)}</td>
  <td class='home-data'><label for='${id}'>${escapeHtml(parameter.help)}</label></td>
</tr>
`
  }
  return out
}

/** What changes something must not be a link: browsers fetch links ahead. */
function form(handler: AdminHandler, path: string): string {
  const method = handler.mutates ? 'post' : 'get'
  const look = handler.mutates ? '' : " class='button-as-link'"
  return `<form action='${path}' method='${method}' id='${path}' class='home-form'>
    <button${look}>${path}</button>
  </form>`
}

function input(parameter: AdminParameter, id: string, form: string): string {
  const name = escapeHtml(parameter.name)
  if (parameter.kind === 'flag') return `<input type='checkbox' name='${name}' id='${id}' form='${form}'>`
  if (parameter.oneOf === undefined) return `<input type='text' name='${name}' id='${id}' form='${form}' />`
  const options = parameter.oneOf
    .map(v => `      <option value='${escapeHtml(v)}'>${escapeHtml(v)}</option>\n`)
    .join('')
  return `
    <select name='${name}' id='${id}' form='${form}'>
${options}    </select>
  `
}
