/** At most so many names stand in one note. */
const MOST_NAMES = 4

/** What the reader has to know about what was changed. The same about many listeners or clusters is said once. */
export class Notes {
  /** Text → of whom it is said, in order; '' for none. */
  private readonly said = new Map<string, Map<string, Set<string>>>()

  constructor(first: readonly string[] = []) {
    for (const text of first) this.add(text)
  }

  add(text: string): void {
    this.about('', '', text)
  }

  about(kind: 'listener' | 'cluster' | 'secret' | '', name: string, text: string): void {
    const kinds = this.said.get(text) ?? new Map<string, Set<string>>()
    this.said.set(text, kinds)
    kinds.set(kind, (kinds.get(kind) ?? new Set()).add(name))
  }

  list(): readonly string[] {
    return [...this.said].flatMap(([text, kinds]) =>
      [...kinds].map(([kind, names]) => (kind === '' ? text : `${kind} ${listOf([...names])}: ${text}`)),
    )
  }
}

function listOf(names: readonly string[]): string {
  const rest = names.length - MOST_NAMES
  return rest > 1 ? `${names.slice(0, MOST_NAMES).join(', ')} and ${rest} more` : names.join(', ')
}
