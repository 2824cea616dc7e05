/** What a relying party and the doctor say of the same credentials. */
import { examine } from '../../../ca/doctor/examine.ts'
import type { WrittenCase } from './corpus.ts'
import { isKnownDifference } from './known-differences.ts'
import type { Party } from './party.ts'

type Judge = Pick<Party, 'name' | 'judge'>

/** What one party and the doctor said of one case. */
export interface Verdict {
  readonly title: string
  readonly refused: boolean
  readonly foretold: boolean
  readonly reason: string
}

/** All that a party judged. */
export interface Agreement {
  readonly party: Party['name']
  readonly verdicts: readonly Verdict[]
}

/** Number of verdicts in which both say the same. */
export const agreed = (verdicts: readonly Verdict[]): number =>
  verdicts.filter(({ refused, foretold }) => refused === foretold).length

/** What differs, for people who read a failed test, and for reports. */
export function formatDifferences(verdicts: readonly Verdict[]): readonly string[] {
  return verdicts
    .filter(({ refused, foretold }) => refused !== foretold)
    .map(({ title, refused, reason }) =>
      refused ? `${title}: refused, ${reason.slice(-300)}` : `${title}: accepted`,
    )
}

/** Has the party judge the cases, and the doctor for the same time. */
export async function compare(
  { name, judge }: Judge,
  cases: readonly WrittenCase[],
): Promise<Agreement> {
  // Some certificates begin in four minutes: the doctor must judge for the time at which the party did.
  const now = new Date()
  const refusals = await judge(cases.map(({ files }) => files))
  const verdicts = cases.map(({ title, examination }, index) => ({
    title,
    refused: refusals[index] !== undefined,
    reason: refusals[index] ?? '',
    // The command ends with "is not a proxy file" where nothing can be examined: refused by all.
    foretold:
      examination === undefined ||
      examine({ ...examination, now }).some(
        ({ severity, relyingParties }) => severity === 'refuses' && relyingParties.includes(name),
      ),
  }))
  return { party: name, verdicts }
}

/** The differences that are not known yet. */
export const unknownDifferences = ({ party, verdicts }: Agreement): readonly Verdict[] =>
  verdicts.filter(
    ({ title, refused, foretold }) => refused !== foretold && !isKnownDifference(party, title),
  )
