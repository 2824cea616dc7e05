/** The plugin `info`: shows callers what their identity provider says about them. */
import { z } from 'zod'
import { type AdditionalLogin, type CredentialEntry, definePlugin } from '../plugin.ts'

/** Maximum number of claims shown per login. */
const MAX_CLAIMS = 200
/** Longer values are cut. */
const MAX_CLAIM_CHARACTERS = 20_000
/** Values up to this length are shown in one line. */
const SHORT_CHARACTERS = 200

/** Shows issuer, subject and claims. Makes no credential and stores nothing but the record of the request. */
export const info = definePlugin({
  id: 'info',
  description: 'Shows what your identity provider says about you',
  parameters: z.strictObject({}),
  request({ caller }) {
    const { publishedIssuer, sub, claims, additionalLogins } = caller
    return Promise.resolve({
      kind: 'credential',
      entries: [
        text('Issuer', publishedIssuer),
        text('Subject', sub),
        ...claimEntries(claims),
        ...additionalLogins.flatMap((login, index) => loginEntries(login, index + 1)),
      ],
      notAfter: undefined,
      warnings: [],
      state: undefined,
    })
  },
})

function loginEntries(login: AdditionalLogin, number: number): CredentialEntry[] {
  const { publishedIssuer, sub, claims } = login
  const prefix = `Login ${number}: `
  return [text(`${prefix}Issuer`, publishedIssuer), text(`${prefix}Subject`, sub)].concat(
    claimEntries(claims, prefix),
  )
}

function claimEntries(claims: Readonly<Record<string, unknown>>, prefix = ''): CredentialEntry[] {
  return Object.entries(claims)
    .slice(0, MAX_CLAIMS)
    .map(([name, value]) => text(`${prefix}${name}`, valueOf(value)))
}

function valueOf(value: unknown): string {
  const shown = typeof value === 'string' ? value : JSON.stringify(value, null, 1)
  return (shown ?? '').slice(0, MAX_CLAIM_CHARACTERS)
}

function text(name: string, value: string): CredentialEntry {
  const short = value.length <= SHORT_CHARACTERS && !value.includes('\n')
  return { name, type: short ? 'text' : 'textarea', value }
}
