import { html, type Markup, slug } from '../markup.ts'

/** Widths at which plots are drawn: text keeps its size on a phone, as the narrow drawing is shown there. */
const WIDE = 880
const HALF = 548
const NARROW = 348

export interface Table {
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

export interface FigureText {
  readonly id: string
  readonly title: string
  /** What the axis says: "requests per CPU-second, more is better". */
  readonly subtitle: string
  /** The finding in words, for those who do not see the picture. */
  readonly description: string
  readonly table: Table
}

/** A plot in a panel of its own width. */
export function panel(text: FigureText, draw: (width: number) => Drawing, width = NARROW): Markup {
  return frame(text, [svg(text, draw(width), '')])
}

/** A plot over the whole column, and the same one drawn narrow for small screens. */
export function widePlot(text: FigureText, draw: (width: number) => Drawing): Markup {
  return frame(text, [svg(text, draw(WIDE), 'wide'), svg(text, draw(NARROW), 'narrow')])
}

/** One of two side by side, and the same one drawn narrow for small screens. */
export function halfPlot(text: FigureText, draw: (width: number) => Drawing): Markup {
  return frame(text, [svg(text, draw(HALF), 'half'), svg(text, draw(NARROW), 'narrow')])
}

export interface Drawing {
  readonly width: number
  readonly height: number
  readonly body: Markup
}

function svg(text: FigureText, drawing: Drawing, variant: string): Markup {
  const id = slug('plot', text.id, variant)
  return html`<svg class="${variant}" viewBox="0 0 ${drawing.width} ${drawing.height}" width="${drawing.width}" height="${drawing.height}" role="img" aria-labelledby="${id}-t ${id}-d"><title id="${id}-t">${text.title}, ${text.subtitle}</title><desc id="${id}-d">${text.description}</desc>${drawing.body}</svg>`
}

function frame(text: FigureText, plots: readonly Markup[]): Markup {
  return html`<figure id="${slug('figure', text.id)}"><figcaption><b>${text.title}</b><span>${text.subtitle}</span></figcaption>
${plots}
<details class="data"><summary>Figures</summary><div class="scroll">${table(text.table)}</div></details></figure>
`
}

/** The first column names the row, the others hold figures. */
export function table(data: Table, caption = ''): Markup {
  return html`<table>${caption !== '' && html`<caption>${caption}</caption>`}<thead><tr>${data.head.map(cell => html`<th scope="col">${cell}</th>`)}</tr></thead>
<tbody>${data.rows.map(
    row =>
      html`<tr>${row.map((cell, i) => (i === 0 ? html`<th scope="row">${cell}</th>` : html`<td>${cell}</td>`))}</tr>
`,
  )}</tbody></table>`
}
