import { storedText } from './stored-text.ts'
import type { Database } from './schema/tables.ts'

/** True for the first who claims this proof, over all replicas. */
export async function claimProof(
  { writes }: Database,
  digest: string,
  expiresAt: Date,
): Promise<boolean> {
  const claimed = await writes
    .insertInto('used_proofs')
    .values({ digest: storedText(digest), expires_at: expiresAt.getTime() })
    .onConflict((conflict) => conflict.doNothing())
    .returning('digest')
    .execute()
  return claimed.length > 0
}
