/** Text made safe for HTML text and attribute values. */
export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;')
}

/** Class names are those of Envoy's pages, so that scripts and styles people put over them find their elements. */
const STYLE = `
.home-table { font-family: sans-serif; border-collapse: collapse; }
.home-data { text-align: left; padding: 4px; }
.home-form { margin-bottom: 0; }
.button-as-link { background: none; border: none; padding: 0; font: inherit; color: #069; text-decoration: underline; cursor: pointer; }
.gray { background-color: #ddd; }
.vert-space { height: 4px; }
.option { padding: 4px 4px 4px 20px; text-align: right; }
.error-status-line { font-family: sans-serif; color: #c00; }
.histogram { font-family: sans-serif; font-size: 14px; margin: 10px 0; }
.histogram-name { font-weight: bold; }
.histogram-no-data { font-style: italic; }
.histogram-buckets { display: flex; align-items: flex-end; height: 40px; gap: 2px; border-bottom: 1px solid #888; }
.histogram-bucket { flex: 1; background-color: #e6d7ff; border: 1px solid purple; }
`

/** A whole page around `body`, which is HTML. */
export function page(body: string, script = ''): string {
  const head = `<!DOCTYPE html>\n<html lang='en'>\n<head>\n  <title>Envoy Admin</title>\n<style>${STYLE}</style>\n</head>\n<body>\n`
  const code = script === '' ? '' : `<script>${script}</script>\n`
  return `${head}${body}${code}</body>\n</html>\n`
}
