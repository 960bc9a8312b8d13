import type { Check } from '../result.ts'

export class Checks {
  readonly list: Check[] = []

  add(name: string, passed: boolean, detail: string): void {
    this.list.push({ name, passed, detail: detail.trim().slice(0, 300) })
  }
}
