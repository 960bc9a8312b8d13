import { type AdminHandler, OK } from './handler.ts'

/** /healthcheck/fail drains: /ready is 503 and HTTP/1 answers carry `connection: close`; /healthcheck/ok takes it back. */
export function healthCheckHandlers(fail: (failed: boolean) => void): readonly AdminHandler[] {
  return [
    {
      path: '/healthcheck/fail',
      help: 'cause the server to fail health checks',
      mutates: true,
      handle() {
        fail(true)
        return OK
      },
    },
    {
      path: '/healthcheck/ok',
      help: 'cause the server to pass health checks',
      mutates: true,
      handle() {
        fail(false)
        return OK
      },
    },
  ]
}
