import { FileLogSink, Loggers } from '../base/log.ts'
import { parseCommandLine } from './options.ts'

/** Entry of `bin/envoy`: everything that can be answered without starting a server is answered here. */
process.title = 'envoy'
// "Reopen the logs" to an Envoy, "open a debugger" to Node, unless somebody listens. --disable-sigusr1 is no way: with it the signal
// does not reach listeners either.
process.on('SIGUSR1', () => {})

void main()

async function main(): Promise<void> {
  const line = parseCommandLine(process.argv.slice(2), process.env['ENVOY_ARGV0'] ?? 'envoy')
  if (line.kind === 'exit') {
    process.stdout.write(line.stdout)
    process.stderr.write(line.stderr)
    process.exitCode = line.code
  } else {
    const { options } = line
    let sink: FileLogSink | null = null
    try {
      sink = new FileLogSink(options.logPath, options.logFormat, options.logFormatEscaped)
    } catch (error) {
      process.stderr.write(`Failed to open log-file '${options.logPath}'. e.what(): ${(error as Error).message}\n`)
      process.exitCode = 1
    }
    if (sink !== null) {
      const loggers = new Loggers(sink, process.pid)
      loggers.levels.setAll(options.logLevel)
      for (const [component, level] of options.componentLogLevels) loggers.levels.set(component, level)
      for (const warning of options.warnings) loggers.get('misc').warning(warning)
      // Threads take as long to boot as main takes to load and read its configuration: side by side.
      if (options.mode === 'serve') (await import('../server/worker-threads.ts')).bootThreads(options.concurrency)
      // The server, and with it everything heavy, is loaded only when it is going to run.
      const { runServer } = await import('../server/main.ts')
      const { createAdmin } = await import('../admin/admin.ts')
      await runServer(options, loggers, sink, createAdmin)
    }
  }
}
