import { decodeStruct, type StructFields } from '../../../config/struct-wire.ts'
import { contentOf, eachField, textOf } from '../../../config/wire-fields.ts'
import { WireReader } from '../../../config/wire-reader.ts'
import { AuthzAnswer, Change, Decision, type HeaderChange, orderChanges } from './answer.ts'

const FORBIDDEN = 403

/** HeaderValueOption.append_action by number. */
const ACTIONS: readonly Change[] = [Change.Add, Change.AddIfAbsent, Change.Set, Change.OverwriteIfExists]

/** envoy.service.auth.v3.CheckResponse. @throws WireError */
export function readCheckResponse(bytes: Uint8Array): AuthzAnswer {
  const answer = new AuthzAnswer()
  let code = 0
  let denied: WireReader | null = null
  let ok: WireReader | null = null
  let failed: WireReader | null = null
  let metadata: StructFields | null = null
  eachField(new WireReader(bytes), (field, r) => {
    if (field === 1) code = statusCode(r)
    else if (field === 2) denied = r
    else if (field === 3) ok = r
    else if (field === 4) metadata = decodeStruct(contentOf(r))
    else if (field === 5) failed = r
  })
  answer.metadata = metadata
  if (code === 0) {
    answer.decision = Decision.Allowed
    if (ok !== null) readOk(ok, answer)
    orderChanges(answer)
    return answer
  }
  if (failed !== null) {
    // Refused by the filter's own status, unless it says another.
    readDenied(failed, answer)
    return answer
  }
  answer.decision = Decision.Denied
  answer.status = FORBIDDEN
  if (denied !== null) readDenied(denied, answer)
  return answer
}

function readOk(message: WireReader, answer: AuthzAnswer): void {
  eachField(message, (field, r) => {
    if (field === 2) answer.headers.push(requestOption(r))
    else if (field === 3) answer.metadata = decodeStruct(contentOf(r))
    else if (field === 5) answer.remove.push(textOf(r).toLowerCase())
    else if (field === 6) answer.responseHeaders.push(responseOption(r, answer))
    else if (field === 7) {
      let key = ''
      let value = ''
      eachField(r, (inner, part) => {
        if (inner === 1) key = textOf(part)
        else if (inner === 2) value = textOf(part)
      })
      answer.querySet.push(key, value)
    } else if (field === 8) answer.queryRemove.push(textOf(r))
  })
}

function readDenied(message: WireReader, answer: AuthzAnswer): void {
  eachField(message, (field, r) => {
    if (field === 1) {
      const status = statusCode(r)
      // Others are interim, or none: the client would take the body for the response.
      if (status >= 200 && status <= 999) answer.status = status
    } else if (field === 2) {
      const { name, value, change } = requestOption(r)
      // Envoy has no use for what is to be appended to a reply that it makes itself.
      if (change === Change.Set) answer.headers.push({ name, value, change: Change.Add })
    } else if (field === 3) answer.body = textOf(r)
  })
}

/** Of the options of a request Envoy heeds the deprecated `append` only. */
function requestOption(message: WireReader): HeaderChange {
  const { name, value, appends } = readOption(message)
  return { name, value, change: appends === true ? Change.Join : Change.Set }
}

function responseOption(message: WireReader, answer: AuthzAnswer): HeaderChange {
  const { name, value, appends, action } = readOption(message)
  if (appends !== null) return { name, value, change: appends ? Change.Add : Change.Set }
  const change = ACTIONS[action]
  if (change === undefined) answer.invalid = true
  return { name, value, change: change ?? Change.Set }
}

interface Option {
  name: string
  value: string
  /** Null: not set. */
  appends: boolean | null
  /** append_action */
  action: number
}

function readOption(message: WireReader): Option {
  const option: Option = { name: '', value: '', appends: null, action: 0 }
  eachField(message, (field, r, number) => {
    if (field === 1) {
      eachField(r, (inner, part) => {
        if (inner === 1) option.name = textOf(part).toLowerCase()
        else if (inner === 2) option.value = textOf(part)
      })
    } else if (field === 2) {
      option.appends = false
      eachField(r, (inner, _, flag) => {
        if (inner === 1) option.appends = flag !== 0
      })
    } else if (field === 3) option.action = number
  })
  return option
}

/** Field 1 of google.rpc.Status and of HttpStatus. */
function statusCode(message: WireReader): number {
  let code = 0
  eachField(message, (field, _, number) => {
    if (field === 1) code = number
  })
  return code
}
