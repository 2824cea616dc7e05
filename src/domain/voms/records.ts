/** The groups of identities; `src/store` implements their storage. */

/** The groups of an identity, as a token stated them. */
export interface KnownGroups {
  /** When the token was issued. */
  readonly statedAt: Date
  /** The groups in each claim, without a leading slash. */
  readonly groups: Readonly<Record<string, readonly string[]>>
}

export interface KnownGroupsRecords {
  /** Replaces what is known, unless that was stated later. @throws {TtsError} `store_unavailable` */
  remember(identityId: string, known: KnownGroups): Promise<void>
  /** @throws {TtsError} `store_unavailable` */
  find(identityId: string): Promise<KnownGroups | undefined>
}
