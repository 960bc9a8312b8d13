import type { Files } from './update-descriptors-wire.ts'

export function addProtoSource(_source: string, _name: string, _into: Files): void {}
