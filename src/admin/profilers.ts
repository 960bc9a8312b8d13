import { type AdminHandler, type AdminRequest, type AdminResponse, choice, OK } from './handler.ts'

/** Who samples the threads. Both throw when the file cannot be written. */
export interface CpuProfiler {
  startCpuProfile(path: string): void
  stopCpuProfile(path: string): void
}

/**
 * The CPU profiler is V8's, and what it writes is for V8's tools. The other profilers are of the C++ runtime, which does not exist
 * here: their answers are those of an Envoy built without them.
 *
 * @param path admin.profile_path
 */
export function profilerHandlers(profiler: CpuProfiler, path: string): readonly AdminHandler[] {
  return [
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
        if (request.query.get('enable') === 'n') {
          profiler.stopCpuProfile(path)
          return OK
        }
        try {
          profiler.startCpuProfile(path)
          return OK
        } catch {
          return { status: 500, body: 'failure to start the profiler' }
        }
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
}

function checked({ query }: AdminRequest): AdminResponse | null {
  const enable = query.get('enable')
  return enable === 'y' || enable === 'n' ? null : { status: 400, body: '?enable=<y|n>\n' }
}

function unsupported(what: string): AdminResponse {
  return { status: 501, body: `The current build does not support ${what}` }
}
