/**
 * Text that is HTML already. Everything else that enters a template is escaped, so a forgotten call cannot open a hole:
 * reports hold configuration texts, header values and error messages of strangers.
 */
export class Markup {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

export type Part = Markup | string | number | null | undefined | false | readonly Part[]

/** HTML from a template; for element content and double-quoted attribute values. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  let out = strings[0]!
  for (let i = 0; i < parts.length; i++) out += render(parts[i]) + strings[i + 1]!
  return new Markup(out)
}

export function render(part: Part): string {
  if (part instanceof Markup) return part.text
  if (part === null || part === undefined || part === false) return ''
  if (typeof part === 'string') return escapeText(part)
  if (typeof part === 'number') return String(part)
  return part.map(render).join('')
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Controls and the marks that turn the direction of text are shown as what they are: a report must not lie to the eye. */
export function escapeText(text: string): string {
  return text
    .replace(/[&<>"']/g, found => ENTITIES[found]!)
    .replace(
      /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\ud800-\udfff]/g,
      found => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`,
    )
}

/** An id that is safe in attributes and in `#` references; equal texts give equal ids. */
export function slug(...words: readonly string[]): string {
  return words
    .join('-')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
}
