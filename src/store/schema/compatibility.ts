/**
 * Which programs may use which database. A rolling upgrade, and a way back from it, need two releases that work on one
 * schema: a release adds (expand), and only a later one takes away what the earlier one used (contract).
 *
 * The name of a schema change says which of both it is. So the database records it where it records the change, in the
 * same transaction, and a program can judge changes that were made after it.
 */
import { TtsError } from '../../base/errors.ts'

/** `0011_expand_site`: programs that do not know this change go on working. */
const EXPAND = /^\d{4}_expand_\w+$/
/** `0014_contract_0011_old_site`: programs that know change 0011 go on working. */
const CONTRACT = /^\d{4}_contract_(?<oldest>\d{4})_\w+$/

/** True for the name that a new schema change must have. */
export function isChangeName(name: string): boolean {
  return EXPAND.test(name) || CONTRACT.test(name)
}

/**
 * Returns whether the database has changes that are newer than this program, all of which it can work with.
 *
 * @param known names of this program's changes
 * @param done names of the changes that were made to the database
 * @throws {TtsError} `configuration`, check `schema_version`: the program must not use the database
 */
export function isNewerButUsable(known: readonly string[], done: readonly string[]): boolean {
  const unknown = done.filter((name) => !known.includes(name))
  if (unknown.length === 0) return false
  const newest = numberOf(known.toSorted().at(-1) ?? '')
  const obstacle =
    unknown.find((name) => !allows(name, newest)) ??
    // Made by a program that left out a change of ours: not a later release of this one.
    known.find((name) => !done.includes(name))
  if (obstacle === undefined) return true
  throw new TtsError(
    'configuration',
    `the database was made by a newer version of this program, with which this one cannot work (schema change ${obstacle})`,
    {
      check: 'schema_version',
      remedy: 'Run the newer version, or restore the backup made before the upgrade.',
    },
  )
}

function allows(name: string, newestKnown: string): boolean {
  const oldest = CONTRACT.exec(name)?.groups?.['oldest']
  return EXPAND.test(name) || (oldest !== undefined && oldest <= newestKnown)
}

const numberOf = (name: string): string => name.slice(0, 4)
