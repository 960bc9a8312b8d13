import { getHeapStatistics } from 'node:v8'
import { type AdminHandler, JSON_TYPE } from './handler.ts'

/**
 * /memory in the shape of envoy.admin.v3.Memory. V8's heap stands for tcmalloc's: `allocated` is what is in use, the page heap is
 * what V8 holds and does not use; there are no thread caches.
 */
export function memoryHandlers(usage: () => NodeJS.MemoryUsage = () => process.memoryUsage()): readonly AdminHandler[] {
  return [
    {
      path: '/memory',
      help: 'print current allocation/heap usage',
      mutates: false,
      handle() {
        const m = usage()
        const shown = {
          allocated: `${m.heapUsed + m.external}`,
          heap_size: `${m.heapTotal + m.external}`,
          pageheap_unmapped: '0',
          pageheap_free: `${Math.max(0, m.heapTotal - m.heapUsed)}`,
          total_thread_cache: '0',
          total_physical_bytes: `${m.rss}`,
        }
        return { status: 200, contentType: JSON_TYPE, body: `${JSON.stringify(shown, null, 1)}\n` }
      },
    },
    {
      path: '/memory/tcmalloc',
      help: 'print TCMalloc stats',
      mutates: false,
      handle: () => ({ status: 200, contentType: 'text/plain', body: heapText() }),
    },
  ]
}

/** The allocator here is V8's; its own figures for the main thread, one per line. */
function heapText(): string {
  const lines = Object.entries(getHeapStatistics()).map(
    ([name, value]) => `MALLOC: ${value} ${name.replaceAll('_', ' ')}\n`,
  )
  return `V8 heap statistics of the main thread (bytes)\n${lines.join('')}`
}
