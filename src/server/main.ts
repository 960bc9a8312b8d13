import { ConfigError } from '../base/errors.ts'
import type { FileLogSink, Loggers } from '../base/log.ts'
import { print } from '../base/print.ts'
import { WarningDigest } from '../base/warning-digest.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { loadBootstrap } from '../config/load.ts'
import { disableExtension } from '../config/registry.ts'
import { registerExtensions } from '../extensions.ts'
import { ListenError } from '../io/listen-socket.ts'
import type { AdminFactory } from './admin-port.ts'
import type { EnvoyOptions } from './envoy-options.ts'
import { Server } from './server.ts'

type Bootstrap = envoy.config.bootstrap.v3.Bootstrap

/** Runs the mode the options ask for: validate and leave, or serve until a signal. Sets the exit code; never rejects. */
export async function runServer(
  options: EnvoyOptions,
  loggers: Loggers,
  sink: FileLogSink,
  makeAdmin: AdminFactory,
): Promise<void> {
  registerExtensions()
  for (const name of options.disabledExtensions) {
    const slash = name.indexOf('/')
    const known = disableExtension(name.slice(0, slash), name.slice(slash + 1))
    if (known) loggers.get('misc').info(`disabled extension '${name}'`)
    else loggers.get('misc').warning(`failed to disable unknown extension '${name}'`)
  }
  if (options.mode === 'validate') {
    validate(options, loggers, sink, makeAdmin)
    return
  }
  const main = loggers.get('main')
  const generation = options.disableHotRestart ? 'disabled' : '11.104'
  main.info(`initializing epoch ${options.restartEpoch} (base id=${options.baseId}, hot restart version=${generation})`)
  let server: Server | null = null
  try {
    server = configuredServer(options, loggers, sink, makeAdmin)
    server.run()
  } catch (error) {
    const text = error instanceof ConfigError ? error.envoyText : (error as Error).message
    main.critical(`error \`${text}\` initializing config '${describe(options)}'`)
    if (!(error instanceof ConfigError) && !isOperational(error)) main.critical((error as Error).stack ?? '')
    else if (error instanceof ConfigError && error.message !== text) main.critical(error.message.slice(text.length + 1))
    else if (error instanceof ListenError && error.advice !== '') main.critical(`  ${error.advice}`)
    main.info('exiting')
    server?.abandon()
    // The last line is the reason, bare: what a supervisor shows of a container that does not start.
    print(2, `${text}\n`)
    process.exit(1)
  }
}

/**
 * A server whose whole configuration is read and checked, with nothing opened yet. The extensions must have been registered.
 * @throws ConfigError with file, line and column
 */
export function configuredServer(
  options: EnvoyOptions,
  loggers: Loggers,
  sink: FileLogSink,
  makeAdmin: AdminFactory,
): Server {
  const loaded = load(options, loggers)
  try {
    const server = new Server(options, loaded.bootstrap, loggers, sink, makeAdmin)
    server.configure()
    return server
  } catch (error) {
    throw error instanceof ConfigError ? loaded.locate(error) : error
  }
}

function validate(options: EnvoyOptions, loggers: Loggers, sink: FileLogSink, makeAdmin: AdminFactory): void {
  try {
    configuredServer(options, loggers, sink, makeAdmin)
  } catch (error) {
    const text =
      error instanceof ConfigError
        ? error.message
        : isOperational(error)
          ? (error as Error).message
          : (error as Error).stack
    loggers.get('main').critical(`error initializing configuration '${describe(options)}': ${text}`)
    process.exit(1)
  }
  print(1, `configuration '${describe(options)}' OK\n`)
  process.exit(0)
}

function load(
  options: EnvoyOptions,
  loggers: Loggers,
): { bootstrap: Bootstrap; locate: (error: ConfigError) => ConfigError } {
  const loaded = loadBootstrap({
    path: options.configPath,
    yaml: options.configYaml,
    allowUnknown: options.allowUnknownStaticFields,
  })
  const unknown = new WarningDigest(loggers.get('config'))
  const deprecated = new WarningDigest(loggers.get('misc'))
  for (const warning of loaded.warnings) {
    if (warning.startsWith('Unknown field')) unknown.add(warning)
    else if (!options.skipDeprecatedLogs) deprecated.add(warning)
  }
  unknown.flush()
  deprecated.flush()
  return { bootstrap: withFlags(loaded.message, options), locate: loaded.locate }
}

/** --service-node, --service-cluster and --service-zone win over the file. */
function withFlags(bootstrap: Bootstrap, options: EnvoyOptions): Bootstrap {
  const { serviceNode, serviceCluster, serviceZone } = options
  if (serviceNode === '' && serviceCluster === '' && serviceZone === '') return bootstrap
  const node = bootstrap.node ?? {}
  return {
    ...bootstrap,
    node: {
      ...node,
      ...(serviceNode === '' ? {} : { id: serviceNode }),
      ...(serviceCluster === '' ? {} : { cluster: serviceCluster }),
      ...(serviceZone === '' ? {} : { locality: { ...node.locality, zone: serviceZone } }),
    },
  }
}

function describe(options: EnvoyOptions): string {
  return options.configPath
}

/** Errors that are the operator's (an address in use), not ours: no stack trace for them. */
function isOperational(error: unknown): boolean {
  return error instanceof Error && 'code' in error
}
