import type { AdminHandler } from './handler.ts'

/** Mutex contention: there are no mutexes here, so the answer is that of an Envoy started without --enable-mutex-tracing. */
export const contentionHandler: AdminHandler = {
  path: '/contention',
  help: 'dump current Envoy mutex contention stats (if enabled)',
  mutates: false,
  handle: () => ({
    status: 200,
    body: 'Mutex contention tracing is not enabled. To enable, run Envoy with flag --enable-mutex-tracing.',
  }),
}
