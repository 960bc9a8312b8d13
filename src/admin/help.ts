import type { AdminHandler } from './handler.ts'

/** `handlers`: all endpoints, sorted by path. */
export function helpHandler(handlers: () => readonly AdminHandler[]): AdminHandler {
  return {
    path: '/help',
    help: 'print out list of admin commands',
    mutates: false,
    handle: () => ({ status: 200, body: helpText(handlers()) }),
  }
}

/** Body of /help, and of the answer to an unknown path. */
export function helpText(handlers: readonly AdminHandler[]): string {
  let out = 'admin commands are:\n'
  for (const handler of handlers) {
    out += `  ${handler.path}${handler.mutates ? ' (POST)' : ''}: ${handler.help}\n`
    for (const parameter of handler.parameters ?? []) {
      const choice = parameter.oneOf === undefined ? '' : `; One of (${parameter.oneOf.join(', ')})`
      out += `      ${parameter.name}: ${parameter.help}${choice}\n`
    }
  }
  return out
}
