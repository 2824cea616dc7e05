/** Who you are to this service: for people and clients that want to see what their provider tells. */
import { z } from 'zod'
import { type AdditionalLogin, type CredentialEntry, definePlugin } from '../plugin.ts'

/** Most claims that are shown of one login. */
const MAX_CLAIMS = 200
/** Longest text of one claim. */
const MAX_CLAIM_CHARACTERS = 20_000
/** Texts up to this length stand in one line. */
const SHORT_CHARACTERS = 200

/** Shows issuer, subject and claims; makes and keeps nothing. */
export const info = definePlugin({
  id: 'info',
  description: 'Shows what your identity provider tells about you',
  parameters: z.strictObject({}),
  request({ caller }) {
    const { issuer, sub, claims, additionalLogins } = caller
    return Promise.resolve({
      kind: 'credential',
      entries: [
        text('Issuer', issuer),
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

function loginEntries({ issuer, sub, claims }: AdditionalLogin, number: number): CredentialEntry[] {
  const prefix = `Login ${number}: `
  return [text(`${prefix}Issuer`, issuer), text(`${prefix}Subject`, sub)].concat(
    claimEntries(claims, prefix),
  )
}

function claimEntries(claims: Readonly<Record<string, unknown>>, prefix = ''): CredentialEntry[] {
  return Object.entries(claims)
    .slice(0, MAX_CLAIMS)
    .map(([name, value]) => text(`${prefix}${name}`, valueOf(value)))
}

function valueOf(value: unknown): string {
  const told = typeof value === 'string' ? value : JSON.stringify(value, null, 1)
  return (told ?? '').slice(0, MAX_CLAIM_CHARACTERS)
}

function text(name: string, value: string): CredentialEntry {
  const short = value.length <= SHORT_CHARACTERS && !value.includes('\n')
  return { name, type: short ? 'text' : 'textarea', value }
}
