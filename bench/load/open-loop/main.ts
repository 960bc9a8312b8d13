/** `node bench/load/open-loop/main.ts --url URL --rate R`: one line of JSON. Status 2 for a wrong command line. */
import { parseOptions, USAGE, UsageError } from './options.ts'
import { run } from './run.ts'

process.exitCode = await main(process.argv.slice(2))

async function main(argv: readonly string[]): Promise<number> {
  if (argv.includes('--help')) {
    process.stdout.write(USAGE)
    return 0
  }
  try {
    process.stdout.write(`${JSON.stringify(await run(parseOptions(argv)))}\n`)
    return 0
  } catch (error) {
    process.stderr.write(`open-loop: ${(error as Error).message}\n`)
    return error instanceof UsageError ? 2 : 1
  }
}
