import { printJson } from '../config/json-writer.ts'
import { type AdminHandler, JSON_TYPE, text } from './handler.ts'

/** Targets that initialization waits for, as envoy.admin.v3.UnreadyTargetsDumps. */
export interface UnreadyTargets {
  /** Name of the init manager. */
  readonly name: string
  readonly targets: readonly string[]
}

export function initDumpHandler(unready: () => readonly UnreadyTargets[]): AdminHandler {
  return {
    path: '/init_dump',
    help: 'dump current Envoy init manager information (experimental)',
    parameters: [
      text(
        'mask',
        'The desired component to dump unready targets. The mask is parsed as a Protobuf::FieldMask. For example, get the ' +
          'unready targets of all listeners with /init_dump?mask=listener`',
      ),
    ],
    mutates: false,
    handle({ query }) {
      const mask = query.get('mask') ?? ''
      // Only listeners have init managers of their own; Envoy shows nothing for any other component.
      const dumps = mask === '' || mask.split(',').includes('listener') ? unready() : []
      const shown = dumps.map(d => ({ name: d.name, target_names: d.targets }))
      const body = shown.length === 0 ? {} : { unready_targets_dumps: shown }
      return { status: 200, contentType: JSON_TYPE, body: `${printJson(body)}\n` }
    },
  }
}
