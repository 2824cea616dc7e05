/** Maps users to subject names. The store assigns each name once, for ever. */
import type { DistinguishedName } from '../../../ca/name.ts'
import { formatSlashDn } from '../../../ca/name-text.ts'
import { comparableName, subjectCandidates } from '../../../ca/subject-naming.ts'
import { createRecentValues } from '../../base/recent-values.ts'
import type { VerifiedToken } from '../../tokens/verified-token.ts'
import type { Identity, SubjectCandidate } from '../records.ts'
import type { Store } from '../store.ts'

export interface SubjectDependencies {
  readonly store: Store
  readonly now: () => Date
  /** Common prefix of all users' names. */
  readonly base: DistinguishedName
  /** The part after the @ of a name, by provider id. */
  readonly aliases: ReadonlyMap<string, string>
}

export interface Subjects {
  /**
   * Returns the identity of a token's user; its first request assigns the name. @throws {TtsError} `conflict`,
   * `store_unavailable`
   */
  identify(token: VerifiedToken): Promise<Identity>
  /**
   * Returns the subject that `identify` would return now, as slash-DN, without assigning it. Undefined: every candidate
   * belongs to another identity. @throws {TtsError} `store_unavailable`
   */
  foresee(token: VerifiedToken): Promise<ForeseenSubject | undefined>
}

/** The subject that a user has or would get. */
export interface ForeseenSubject {
  /** Slash-DN. */
  readonly subject: string
  /** Whether it is assigned to the user already. */
  readonly isAssigned: boolean
}

const MAX_IN_MEMORY = 50_000

export function createSubjects({ store, now, base, aliases }: SubjectDependencies): Subjects {
  // Safe to cache: an identity's record never changes.
  const inMemory = createRecentValues<Identity>(MAX_IN_MEMORY)
  const candidatesOf = ({
    issuer,
    sub,
    providerId,
  }: VerifiedToken): readonly SubjectCandidate[] => {
    const alias = aliases.get(providerId) ?? providerId
    return subjectCandidates(base, { issuer, sub, alias }).map((name) => {
      const subject = formatSlashDn(name)
      return { subject, comparable: comparableName(subject) }
    })
  }
  return {
    async identify(token) {
      const { issuer, sub } = token
      const key = JSON.stringify([issuer, sub])
      const remembered = inMemory.get(key)
      if (remembered) return remembered
      const identity = await store.ensureIdentity({ issuer, sub }, candidatesOf(token), now())
      inMemory.set(key, identity)
      return identity
    },
    async foresee(token) {
      const { issuer, sub } = token
      const identity = await store.findIdentity({ issuer, sub })
      if (identity !== undefined) return { subject: identity.subject, isAssigned: true }
      for (const { subject, comparable } of candidatesOf(token))
        if (!(await store.isSubjectTaken(comparable))) return { subject, isAssigned: false }
      return undefined
    },
  }
}

/** Longest URI that is written into a certificate. */
const MAX_URI_LENGTH = 1024

/**
 * Returns the URI for subjectAltName, issuer and percent-encoded sub; empty when they do not form a URI of at most
 * 1024 bytes.
 */
export function subjectUri(identity: { readonly issuer: string; readonly sub: string }): {
  subjectUri?: string
} {
  // Issuers of relying services' users are names, not URLs.
  if (!identity.sub.isWellFormed() || !URL.canParse(identity.issuer)) return {}
  const slash = identity.issuer.endsWith('/') ? '' : '/'
  const uri = `${identity.issuer}${slash}${encodeURIComponent(identity.sub)}`
  return uri.length <= MAX_URI_LENGTH && /^[\x21-\x7e]+$/.test(uri) ? { subjectUri: uri } : {}
}
