import { type AdminHandler, type AdminRequest, type AdminResponse, choice, OK } from './handler.ts'

/**
 * Profilers of the C++ runtime, which does not exist here. Every answer is one that Envoy gives in a build without the profiler
 * asked for; nothing is pretended. (`node --cpu-prof` and `--heap-prof` in the launcher profile the threads of this proxy.)
 */
export const profilerHandlers: readonly AdminHandler[] = [
  {
    path: '/allocprofiler',
    help: 'enable/disable the allocation profiler (if supported)',
    parameters: [choice('enable', 'enable/disable the allocation profiler', ['y', 'n'])],
    mutates: true,
    handle: request => checked(request) ?? unsupported('allocation profiler'),
  },
  {
    path: '/cpuprofiler',
    help: 'enable/disable the CPU profiler',
    parameters: [choice('enable', 'enables the CPU profiler', ['y', 'n'])],
    mutates: true,
    handle(request) {
      const refused = checked(request)
      if (refused !== null) return refused
      return request.query.get('enable') === 'y' ? { status: 500, body: 'failure to start the profiler' } : OK
    },
  },
  {
    path: '/heapprofiler',
    help: 'enable/disable the heap profiler',
    parameters: [choice('enable', 'enable/disable the heap profiler', ['y', 'n'])],
    mutates: true,
    // Envoy says so before it looks at the parameter.
    handle: () => unsupported('heap profiler'),
  },
  {
    path: '/heap_dump',
    help: 'dump current Envoy heap (if supported)',
    mutates: false,
    handle: () => unsupported('heap dump'),
  },
  {
    path: '/peak_heap_dump',
    help: 'dump peak Envoy heap (if supported)',
    mutates: false,
    handle: () => unsupported('peak heap dump'),
  },
]

function checked({ query }: AdminRequest): AdminResponse | null {
  const enable = query.get('enable')
  return enable === 'y' || enable === 'n' ? null : { status: 400, body: '?enable=<y|n>\n' }
}

function unsupported(what: string): AdminResponse {
  return { status: 501, body: `The current build does not support ${what}` }
}
