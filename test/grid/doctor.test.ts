/**
 * The doctor against the relying parties themselves: each party judges the cases on disk, and the doctor must agree,
 * but for the differences that are known.
 * The quick parties judge all cases, the others a part, each a different one; TTS_TEST_ALL_VERDICTS=1 makes all judge
 * all, which takes minutes.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { measurableCases } from '../ca/doctor/all-cases.ts'
import { checkGridFtp, gridFtpPackages } from '../support/gridftp.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { canlCParty } from '../support/parties/canl-c.ts'
import { arcproxyParty, globusParty, vomsParty } from '../support/parties/commands.ts'
import { type Corpus, writeCorpus } from '../support/parties/corpus.ts'
import { canlJavaParty, vomsJavaParty } from '../support/parties/java.ts'
import { myProxyParty } from '../support/parties/myproxy.ts'
import { type Party, partyOfOne } from '../support/parties/party.ts'
import { curlParty, gridSiteParty, opensslParty, xrootdHttpsParty } from '../support/parties/tls.ts'
import {
  agreed,
  type Agreement,
  compare,
  formatDifferences,
  unknownDifferences,
  type Verdict,
} from '../support/parties/verdicts.ts'
import { checkXrootd, xrootdPackages } from '../support/xrootd.ts'

/** Least part of the verdicts of all parties together that must agree. */
const LEAST_TOTAL = 0.98
const JUDGE_ALL = process.env['TTS_TEST_ALL_VERDICTS'] === '1'

/** Each party with the part of the cases that it judges: one in so many, by the time that it takes. */
const parties: readonly (readonly [Party, number])[] = [
  [globusParty, 2],
  [vomsParty, 3],
  [arcproxyParty, 3],
  [canlJavaParty, 1],
  [opensslParty, 3],
  [vomsJavaParty, 4],
  [curlParty, 10],
  [canlCParty, 8],
  [gridSiteParty, 10],
  [xrootdHttpsParty, 10],
  [myProxyParty, 20],
  [partyOfOne('GridFTP', gridFtpPackages, checkGridFtp), 8],
  [partyOfOne('XRootD', xrootdPackages, checkXrootd), 8],
]

let corpus: Corpus | undefined
const agreements: Agreement[] = []

beforeAll(async () => {
  corpus = await writeCorpus(measurableCases)
})
afterAll(async () => {
  await corpus?.close()
  if (agreements.length > 0) process.stdout.write(`\n${formatAgreements()}\n`)
})

function formatAgreements(): string {
  const all = agreements.flatMap(({ verdicts }) => verdicts)
  const line = (name: string, verdicts: readonly Verdict[]): string => {
    const share = ((100 * agreed(verdicts)) / verdicts.length).toFixed(1)
    return `${name.padEnd(14)} ${agreed(verdicts)} of ${verdicts.length} verdicts: ${share} %`
  }
  const lines = agreements.map(({ party, verdicts }) => line(party, verdicts))
  return ['the doctor agrees with', ...lines, line('all', all)].join('\n')
}

for (const [offset, [party, part]] of parties.entries()) {
  describeWithTools(`the doctor and ${party.name}`, party.packages, () => {
    test('agree', { timeout: 600_000 }, async () => {
      const step = JUDGE_ALL ? 1 : part
      const cases = (corpus?.cases ?? []).filter((_, index) => index % step === offset % step)
      const agreement = await compare(party, cases)
      agreements.push(agreement)
      const differences = formatDifferences(agreement.verdicts)
      if (JUDGE_ALL) process.stdout.write(`${party.name}\n${differences.join('\n')}\n`)
      const { verdicts } = agreement
      expect(formatDifferences(unknownDifferences(agreement))).toEqual([])
      // Both accept and refuse: a party that is set up wrongly does only one of them.
      expect(new Set(verdicts.map(({ refused }) => refused)).size).toBe(2)
    })
  })
}

describe('the doctor', () => {
  test(`agrees with ${100 * LEAST_TOTAL} % of the verdicts`, ({ skip }) => {
    const verdicts = agreements.flatMap((agreement) => agreement.verdicts)
    skip(verdicts.length === 0, 'no relying party is installed')
    expect(agreed(verdicts) / verdicts.length, formatAgreements()).toBeGreaterThanOrEqual(
      LEAST_TOTAL,
    )
  })
})
