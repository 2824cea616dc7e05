/** What the verdict test asks of each relying party: one credential on disk, accepted or refused. */
import type { RelyingParty } from '../../../ca/doctor/relying-parties.ts'
import type { CredentialFiles } from '../grid-site.ts'

/** A credential of the corpus on disk. */
export interface PatientFiles extends CredentialFiles {
  /** A directory of its own for what a party writes. */
  readonly directory: string
  /** Slash-DN of the EEC, as OpenSSL writes it. */
  readonly identity: string
}

/** Undefined: accepted. Otherwise what the party said when it refused. */
export type Refusal = string | undefined

export interface Party {
  readonly name: RelyingParty
  readonly packages: readonly string[]
  /** Judges all credentials; the answers are in the same order. */
  readonly judge: (patients: readonly PatientFiles[]) => Promise<readonly Refusal[]>
}

/** A party that is asked about one credential at a time. Two run at once, like the machine has processors. */
export function partyOfOne(
  name: RelyingParty,
  packages: readonly string[],
  check: (patient: PatientFiles) => Promise<Refusal>,
): Party {
  return { name, packages, judge: (patients) => mapTwoAtOnce(patients, check) }
}

async function mapTwoAtOnce<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<readonly Result[]> {
  const results = new Map<number, Result>()
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++
      results.set(index, await work(items[index] as Item))
    }
  }
  await Promise.all([worker(), worker()])
  return items.map((_, index) => results.get(index) as Result)
}
