/** Reads signing_policy files as Globus does: which names a CA may sign. */

/** A signing_policy file. */
export interface SigningPolicy {
  readonly text: string
  readonly blocks: readonly SigningPolicyBlock[]
}

/** One CA's block in the file. */
export interface SigningPolicyBlock {
  /** Slash-DN of the CA. */
  readonly authority: string
  /** True with `pos_rights globus CA:sign`. */
  readonly maySign: boolean
  /** Names; a trailing `*` matches anything. Undefined when there are several and the outer quotes are not single. */
  readonly subjects: readonly string[] | undefined
}

/** Larger signing_policy files are not read. */
const MAX_LENGTH = 64 * 1024

/** Reads the file and ignores what it does not understand. */
export function readSigningPolicy(text: string): SigningPolicy {
  const blocks: SigningPolicyBlock[] = []
  for (const line of text.slice(0, MAX_LENGTH).split(/\r?\n/)) {
    const [, keyword = '', , value = ''] = /^\s*(\w+)\s+(\S+)\s+(.*?)\s*$/.exec(line) ?? []
    const last = blocks.at(-1)
    if (keyword.toLowerCase() === 'access_id_ca') {
      blocks.push({ authority: unquote(value), maySign: false, subjects: [] })
    } else if (last && keyword.toLowerCase() === 'pos_rights') {
      blocks[blocks.length - 1] = { ...last, maySign: value === 'CA:sign' }
    } else if (last && keyword.toLowerCase() === 'cond_subjects') {
      blocks[blocks.length - 1] = { ...last, subjects: readSubjects(value) }
    }
  }
  return { text, blocks }
}

/** Removes single quotes only: Globus finds no CA whose name is in double quotes. */
function unquote(value: string): string {
  return /^'(.*)'$/.exec(value)?.[1] ?? value
}

function readSubjects(value: string): readonly string[] | undefined {
  const inner = /^'([^']*)'$/.exec(value)?.[1]
  // A single pattern may stand in double quotes, or in none.
  if (inner === undefined) {
    const single = /^"([^"']*)"$/.exec(value)?.[1] ?? /^[^\s"']+$/.exec(value)?.[0]
    return single === undefined ? undefined : [single]
  }
  const quoted = [...inner.matchAll(/"([^"]*)"/g)].map((match) => match[1] ?? '')
  return quoted.length > 0 ? quoted : [inner.trim()]
}

/**
 * True when the policy lets the CA sign the name: compared without letter case, `*` only at the end, as Globus does.
 */
export function policyPermits(policy: SigningPolicy, authority: string, subject: string): boolean {
  return policy.blocks.some(
    (block) =>
      block.maySign &&
      block.authority.toLowerCase() === authority.toLowerCase() &&
      (block.subjects ?? []).some((pattern) =>
        matches(pattern.toLowerCase(), subject.toLowerCase()),
      ),
  )
}

function matches(pattern: string, subject: string): boolean {
  return pattern.endsWith('*') ? subject.startsWith(pattern.slice(0, -1)) : subject === pattern
}
