/** All cases of the doctor, for its unit tests and for the verdict test with real relying parties. */
import { fileCases, keyCases, proxyCases, timeCases } from './cases.ts'
import { certificateCases, healthy } from './certificate-cases.ts'
import { oddCaCases } from './odd-ca-cases.ts'
import { longCases, nameCases, vomsCases } from './odd-chain-cases.ts'
import { oddCrlCases } from './odd-crl-cases.ts'
import { modeCases, textCases } from './odd-file-cases.ts'
import type { OddCase } from './odd-files.ts'
import { linkCases } from './odd-link-cases.ts'
import { oddPolicyCases } from './odd-policy-cases.ts'
import type { Illness } from './patient.ts'
import { crlCases, trustCases } from './trust-cases.ts'

/** One case with a title and the rules that the doctor must name, sorted. */
export interface AnyCase extends Illness {
  readonly title: string
  readonly rules: readonly string[]
}

const ruleCases: readonly AnyCase[] = [
  ...keyCases,
  ...timeCases,
  ...fileCases,
  ...proxyCases,
  ...certificateCases,
  ...trustCases,
  ...crlCases,
].map((one) => ({
  ...one,
  title: one.name === undefined ? one.rule : `${one.rule}: ${one.name}`,
  rules: [one.rule, ...(one.also ?? [])].sort(),
}))

const withTitle = (one: OddCase): AnyCase => ({
  ...one,
  title: one.name,
  rules: one.rules.toSorted(),
})

export const healthyCases: readonly AnyCase[] = healthy.map((one) => ({
  ...one,
  title: one.name,
  rules: [],
}))

/** Cases that real parties can be asked about. */
export const measurableCases: readonly AnyCase[] = [
  ...healthyCases,
  // Time passes until a party is asked, root may read all files, and no VOMS server signs for tests.
  ...ruleCases.filter(({ title }) => !/^(time-left|file-owner)/.test(title)),
  ...[
    ...textCases,
    ...modeCases,
    ...longCases,
    ...nameCases,
    ...oddCaCases,
    ...oddCrlCases,
    ...oddPolicyCases,
    ...linkCases,
  ].map(withTitle),
]

export const allCases: readonly AnyCase[] = [
  ...measurableCases,
  ...ruleCases.filter((one) => !measurableCases.includes(one)),
  ...vomsCases.map(withTitle),
]
