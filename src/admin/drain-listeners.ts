import { type AdminHandler, flag, OK } from './handler.ts'

export interface DrainRequest {
  /** Ask connections to go for --drain-time-s before the sockets close. */
  readonly graceful: boolean
  readonly inboundOnly: boolean
  /** Ask connections to go and keep the sockets. */
  readonly skipExit: boolean
}

export function drainListenersHandler(drain: (how: DrainRequest) => void): AdminHandler {
  return {
    path: '/drain_listeners',
    help: 'drain listeners',
    parameters: [
      flag(
        'graceful',
        'When draining listeners, enter a graceful drain period prior to closing listeners. This behaviour and duration is ' +
          'configurable via server options or CLI',
      ),
      flag(
        'skip_exit',
        'When draining listeners, drain the connections but never stop the listeners. The graceful parameter has no effect ' +
          'when this is set, since the drain period only delays stopping the listeners',
      ),
      flag(
        'inboundonly',
        'Drains all inbound listeners. traffic_direction field in envoy_v3_api_msg_config.listener.v3.Listener is used to ' +
          'determine whether a listener is inbound or outbound.',
      ),
    ],
    mutates: true,
    handle({ query }) {
      drain({
        graceful: query.has('graceful'),
        inboundOnly: query.has('inboundonly'),
        skipExit: query.has('skip_exit'),
      })
      return OK
    },
  }
}
