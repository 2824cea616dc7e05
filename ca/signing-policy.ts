/** Reads signing_policy files: which names a CA may sign. Globus and caNl read the same file differently. */

/** A signing_policy file. */
export interface SigningPolicy {
  readonly text: string
  readonly blocks: readonly SigningPolicyBlock[]
  /** The first word that Globus does not expect: it then refuses the whole file. */
  readonly unexpected: { readonly word: string; readonly line: number } | undefined
}

/** One CA's block in the file, as Globus reads it. */
export interface SigningPolicyBlock {
  /** Slash-DN of the CA. */
  readonly authority: string
  /** True with `pos_rights globus CA:sign`. */
  readonly maySign: boolean
  /** Names; a trailing `*` matches anything. Undefined when there are several and the outer quotes are not single. */
  readonly subjects: readonly string[] | undefined
}

interface Word {
  readonly text: string
  /** Whether it stood in single quotes. */
  readonly quoted: boolean
  /** Where it begins in the file. */
  readonly index: number
}

/**
 * Splits the text into words as Globus does: by white space, with single quotes around words that contain some, and
 * without comments, which may begin in any line after white space. A backslash in quotes is dropped.
 */
function readWords(text: string): readonly Word[] {
  const pattern = /#[^\n]*|'((?:[^'\\]|\\[\s\S])*)'?|[^\s]+/g
  return [...text.matchAll(pattern)]
    .filter(([match]) => !match.startsWith('#'))
    .map((match) => ({
      text: match[1] === undefined ? match[0] : match[1].replace(/\\([\s\S])/g, '$1'),
      quoted: match[1] !== undefined,
      index: match.index,
    }))
}

const isKeyword = (word: Word | undefined): boolean =>
  word === undefined || /^(access_id_|pos_rights|neg_rights|cond_)/i.test(word.text)

/** Reads the file as Globus does. */
export function readSigningPolicy(text: string): SigningPolicy {
  const words = readWords(text)
  const blocks: SigningPolicyBlock[] = []
  let index = 0
  while (index < words.length) {
    const [keyword, , value] = words.slice(index, index + 3)
    if (keyword === undefined || !isKeyword(keyword)) break
    const last = blocks.at(-1)
    const name = keyword.text.toLowerCase()
    if (name === 'access_id_ca')
      blocks.push({ authority: value?.text ?? '', maySign: false, subjects: [] })
    else if (last && name === 'pos_rights')
      blocks[blocks.length - 1] = { ...last, maySign: value?.text === 'CA:sign' }
    else if (last && name === 'cond_subjects') {
      const several =
        value?.quoted === false && value.text.startsWith('"') && !isKeyword(words[index + 3])
      blocks[blocks.length - 1] = {
        ...last,
        subjects: several ? undefined : readSubjects(value?.text ?? ''),
      }
      // The rest of the patterns is reported as wrong quotes.
      if (several) while (!isKeyword(words[index + 3])) index += 1
    }
    index += 3
  }
  const word = words[index]
  const unexpected = word && {
    word: word.text,
    line: text.slice(0, word.index).split('\n').length,
  }
  return { text, blocks, unexpected }
}

function readSubjects(value: string): readonly string[] {
  const quoted = [...value.matchAll(/"([^"]*)"/g)].map((match) => match[1] ?? '')
  return quoted.length > 0 ? quoted : [value.trim()]
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
