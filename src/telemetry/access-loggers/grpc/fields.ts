import type { WireWriter } from '../../../config/wire-writer.ts'
import { validUtf8 } from '../../valid-utf8.ts'

/** A string field of bytes that may be anything; '' is left out. */
export function textField(w: WireWriter, field: number, text: string): void {
  if (text === '') return
  w.tag(field, 2)
  w.latin1(validUtf8(text))
}
