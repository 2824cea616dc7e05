/** The doctor against HTCondor, as test/grid/doctor.test.ts does with the other relying parties. */
import { expect, onTestFinished, test } from 'vitest'
import { measurableCases } from '../../ca/doctor/all-cases.ts'
import { openIssuedCredential } from '../../support/credential-directory.ts'
import { openGridSite } from '../../support/grid-site.ts'
import { startCondorPool } from '../../support/htcondor.ts'
import { writeCorpus } from '../../support/parties/corpus.ts'
import { judgeByHtcondor, judgingPool } from '../../support/parties/htcondor.ts'
import {
  agreed,
  compare,
  formatDifferences,
  unknownDifferences,
} from '../../support/parties/verdicts.ts'

const JUDGE_ALL = process.env['TTS_TEST_ALL_VERDICTS'] === '1'
/** One case in so many. */
const PART = JUDGE_ALL ? 1 : 8

export function doctorCases(root: string): void {
  test('the doctor and HTCondor agree', { timeout: 300_000 }, async () => {
    const corpus = await writeCorpus(measurableCases.filter((_, index) => index % PART === 0))
    onTestFinished(() => corpus.close())
    const credential = await openIssuedCredential()
    onTestFinished(() => credential.close())
    const site = await openGridSite(credential)
    onTestFinished(() => site.close())
    const pool = await startCondorPool(root, site, judgingPool(site))
    onTestFinished(() => pool.stop())
    const judge = judgeByHtcondor.bind(undefined, pool)
    const agreement = await compare({ name: 'HTCondor', judge }, corpus.cases)
    const { verdicts } = agreement
    process.stdout.write(
      `\nthe doctor agrees with HTCondor in ${agreed(verdicts)} of ${verdicts.length} verdicts\n`,
    )
    if (JUDGE_ALL) process.stdout.write(`${formatDifferences(verdicts).join('\n')}\n`)
    expect(formatDifferences(unknownDifferences(agreement))).toEqual([])
    // It both accepts and refuses: a pool that is set up wrongly does only one of them.
    expect(new Set(verdicts.map(({ refused }) => refused)).size).toBe(2)
  })
}
