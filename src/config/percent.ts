/**
 * Per cent of an envoy.type.v3.Percent; `otherwise` when the message is absent. Present without a value it is 0: proto3 leaves
 * zeros out.
 */
export function percent(p: { readonly value?: number | undefined } | null | undefined, otherwise: number): number {
  return p === undefined || p === null ? otherwise : (p.value ?? 0)
}
