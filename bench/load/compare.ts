/** `remora compare`, as a program: it lies here because the programs of the bench do. */
import { compareMain } from '../compare/main.ts'

process.exitCode = await compareMain(process.argv.slice(2))
