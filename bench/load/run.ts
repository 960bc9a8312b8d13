/** `remora bench`, as a program. */
import { benchMain } from './main.ts'

process.exitCode = await benchMain(process.argv.slice(2))
