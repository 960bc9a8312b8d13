import { printJson } from '../config/json-writer.ts'
import type { Address } from '../io/connection.ts'
import { addressJson } from './address-json.ts'
import { type AdminHandler, choice, JSON_TYPE } from './handler.ts'

export interface ListenerFact {
  readonly name: string
  /** Where it listens: the port is the one the kernel chose when 0 was configured. Additional addresses follow the first. */
  readonly addresses: readonly Address[]
}

/** In configuration order, static ones first. */
export function listenersHandler(listeners: () => readonly ListenerFact[]): AdminHandler {
  return {
    path: '/listeners',
    help: 'print listener info',
    parameters: [choice('format', 'File format to use', ['text', 'json'])],
    mutates: false,
    handle({ query }) {
      if (query.get('format') !== 'json') {
        let body = ''
        for (const l of listeners()) for (const a of l.addresses) body += `${l.name}::${a.text}\n`
        return { status: 200, body }
      }
      const statuses = listeners().map(({ name, addresses: [first, ...others] }) => ({
        ...(name === '' ? {} : { name }),
        ...(first === undefined ? {} : { local_address: addressJson(first) }),
        ...(others.length === 0 ? {} : { additional_local_addresses: others.map(addressJson) }),
      }))
      const body = statuses.length === 0 ? {} : { listener_statuses: statuses }
      return { status: 200, contentType: JSON_TYPE, body: `${printJson(body)}\n` }
    },
  }
}
