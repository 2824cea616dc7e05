/** One way in which the world around the programs breaks. */
import type { Random } from '../plan.ts'

export interface Fault {
  /** In the report. */
  readonly name: string
  /** Faults of one kind are not combined. */
  readonly kind: 'kill' | 'disk' | 'clock' | 'provider' | 'network'
  /** Nothing else may be broken meanwhile. Default false. */
  readonly isAlone?: true
  /** Breaks it. The number of processes that were killed is returned. */
  inject(random: Random): Promise<number>
  /** Makes it good again: nothing that the programs could do themselves. */
  heal(): Promise<void>
}

/** Whether two faults may be at work together. An answer of the provider must not be lost: see `provider.ts`. */
export function canBeCombined(one: Fault, other: Fault): boolean {
  const kinds = [one.kind, other.kind]
  const isBothOutside = kinds.every((kind) => kind === 'provider' || kind === 'network')
  return one.kind !== other.kind && !isBothOutside && !one.isAlone && !other.isAlone
}
