import type { Refusal } from './oauth-error.ts'

/** A user of the demo provider. `suspended`, `aupSigned` and `deleted` may change while it runs. */
export interface DemoUser {
  /** UUID, as in IAM. */
  readonly sub: string
  readonly username: string
  readonly name: string
  readonly email: string
  /** Group names without leading slash. */
  readonly groups: readonly string[]
  suspended?: boolean
  /** Whether the acceptable use policy is signed. Default true. */
  aupSigned?: boolean
  /** The provider behaves as if the user had never existed. */
  deleted?: boolean
}

/** The two users of the demo: `alice` is in group `cms`, `bob` is in no group that an example allows. */
export const demoUsers: readonly DemoUser[] = [
  {
    sub: '9e499e0e-ce25-485b-9353-d19726fd287a',
    username: 'alice',
    name: 'Alice Example',
    email: 'alice@example.org',
    groups: ['cms', 'cms/production'],
  },
  {
    sub: '1c1f3d0a-64f5-4a0b-8f0e-5c6c1a7b2d33',
    username: 'bob',
    name: 'Bob Example',
    email: 'bob@example.org',
    groups: ['guests'],
  },
]

/** The user directory of one running provider. */
export class Users {
  readonly #bySub: Map<string, DemoUser>

  constructor(users: readonly DemoUser[]) {
    this.#bySub = new Map(users.map((user) => [user.sub, { ...user }]))
  }

  list(): readonly DemoUser[] {
    return [...this.#bySub.values()].filter((user) => user.deleted !== true)
  }

  bySub(sub: string | undefined): DemoUser | undefined {
    const user = sub === undefined ? undefined : this.#bySub.get(sub)
    return user?.deleted === true ? undefined : user
  }

  /** Returns a user, also a deleted one. Throws Error for an unknown name. */
  byUsername(username: string): DemoUser {
    const users = [...this.#bySub.values()]
    const user = users.find((candidate) => candidate.username === username)
    if (user === undefined) throw new Error(`the demo provider has no user ${username}`)
    return user
  }
}

/** Returns the refusal of a suspended user, in the words of IAM. */
export function refusalOfSuspended({ suspended, username }: DemoUser): Refusal | undefined {
  if (suspended !== true) return undefined
  return { status: 401, error: 'unauthorized', description: `User ${username} is not active.` }
}

/** Returns the refusal of a user who has not signed the acceptable use policy, in the words of IAM. */
export function refusalWithoutAup({ aupSigned, username }: DemoUser): Refusal | undefined {
  if (aupSigned !== false) return undefined
  const description = `User ${username} needs to sign AUP for this organization in order to proceed.`
  return { status: 400, error: 'invalid_grant', description }
}

/** Returns all UserInfo claims of a user; oidc-provider removes those that the scopes of the token do not include. */
export function userInfoClaims(user: DemoUser): { sub: string; [claim: string]: unknown } {
  return {
    sub: user.sub,
    name: user.name,
    preferred_username: user.username,
    organisation_name: 'demo',
    groups: [...user.groups],
    email: user.email,
    email_verified: true,
    'wlcg.groups': wlcgGroups(user),
    eduperson_entitlement: entitlements(user),
  }
}

/** Returns groups in the form of the WLCG profile, with a leading slash. */
export function wlcgGroups(user: DemoUser): string[] {
  return user.groups.map((group) => `/${group}`)
}

/** Returns groups as URNs of AARC-G069. */
export function entitlements(user: DemoUser): string[] {
  return user.groups.map(
    (group) => `urn:example:demo:group:${group.replaceAll('/', ':')}#127.0.0.1`,
  )
}
