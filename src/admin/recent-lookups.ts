import { type AdminHandler, OK } from './handler.ts'

/**
 * Lookups of stat names in Envoy's symbol table, to find code that makes names per request. Names are made once here and nothing
 * looks one up later, so the list is always empty and the count 0; switching it on and off works as in Envoy.
 */
export function recentLookupsHandlers(): readonly AdminHandler[] {
  let enabled = false
  return [
    {
      path: '/stats/recentlookups',
      help: 'Show recent stat-name lookups',
      mutates: false,
      handle: () => ({
        status: 200,
        body: enabled
          ? '   Count Lookup\n\ntotal: 0\n'
          : 'Lookup tracking is not enabled. Use /stats/recentlookups/enable to enable.\n\ntotal: 0\n',
      }),
    },
    {
      path: '/stats/recentlookups/clear',
      help: 'clear list of stat-name lookups and counter',
      mutates: true,
      handle: () => OK,
    },
    {
      path: '/stats/recentlookups/disable',
      help: 'disable recording of reset stat-name lookup names',
      mutates: true,
      handle() {
        enabled = false
        return OK
      },
    },
    {
      path: '/stats/recentlookups/enable',
      help: 'enable recording of reset stat-name lookup names',
      mutates: true,
      handle() {
        enabled = true
        return OK
      },
    },
  ]
}
