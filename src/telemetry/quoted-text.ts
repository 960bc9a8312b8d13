/** A string that prints with its quotes in text and as a plain string in JSON: typed filter state. */
export class QuotedText {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}
