/**
 * The answers of the native API as schemas: their types are those of the functions that make the answers, and
 * /openapi.json describes them from the same source.
 */
import { z } from 'zod'
import { revocationReasons } from '../../../ca/crl-entries.ts'
import { delegationStates } from '../../domain/delegations/records.ts'
import { errorCodes } from '../error-codes.ts'

const id = z.string().meta({ format: 'uuid' })
const time = z.string().meta({ format: 'date-time' })
const text = z.string()
const serial = text.describe('Serial number in hexadecimal, as in CRLs')
const subject = text.describe('Subject as a slash-DN, as in a grid-mapfile')
const next = text
  .nullable()
  .describe('Give it as `after` to get the next page; null on the last page')

/** A certificate of a credential. */
const certificateAnswer = z
  .object({
    kind: z.enum(['eec', 'proxy']),
    serial,
    subject,
    not_before: time,
    not_after: time,
    fingerprint_sha256: text.describe('SHA-256 of the certificate in DER, lower-case hexadecimal'),
    key: text.describe('Kind of the key, for example `rsa-2048`'),
  })
  .describe('A certificate of a credential')

const credentialAnswer = z
  .object({
    id,
    service: text.describe('Id of the service that issued it'),
    subject,
    issued_at: time,
    not_after: time.nullable().describe('null: the plugin did not say when it ends'),
    revoked_at: time.nullable(),
    revocation_reason: z.enum(Object.keys(revocationReasons) as [string, ...string[]]).nullable(),
    end_entity_serial: serial.nullable().describe('Serial number of its EEC; null without one'),
    ssh_serial: text.nullable().describe('Serial number of an SSH certificate'),
    client_id: text.nullable().describe('OAuth client that the token was issued to'),
    address: text.describe('Address that the request came from'),
    interface: text.describe('How it was requested, for example `native` or `delegation`'),
    delegation_id: id.nullable().describe('The delegation that renewed it'),
    renewed_from: id.nullable().describe('The credential whose holder renewed it by possession'),
    certificates: z.array(certificateAnswer),
  })
  .describe('What was issued to you; it holds no key')

const credentialPage = z
  .object({ credentials: z.array(credentialAnswer), next })
  .describe('A page of your credentials, newest first')

const issuedCredentialAnswer = z
  .object({
    id: id.describe('Id of the credential, to show or revoke it'),
    service: text.describe('Id of the service that issued it'),
    identity: text.describe('Subject of the EEC as a slash-DN, as in a grid-mapfile'),
    not_after: time,
    end_entity_serial: serial,
    warnings: z.array(text).describe('Why some relying party is known to refuse this credential'),
    pem: text.describe(
      'The file: certificate, its key unless you sent a CSR, and the certificates above it',
    ),
  })
  .describe('A proxy or a certificate that was just issued')

const credentialRevocation = z
  .object({
    id,
    end_entity_serial: serial.nullable(),
    newly_revoked: z.boolean().describe('false: it was revoked before'),
    affected: z.array(id).describe('Ids of all credentials that this revoked'),
  })
  .describe('The outcome of a revocation')

const delegationAnswer = z
  .object({
    id,
    state: z.enum(delegationStates as ['active', 'ended', 'revoked']),
    identity: text.describe('Subject of your EECs as a slash-DN'),
    label: text.nullable().describe('Your name for it'),
    created_at: time,
    last_used_at: time.nullable(),
    renews_until: time
      .nullable()
      .describe('Until when it renews by itself, as far as the service can tell; null at its end'),
    advice: text.describe('One sentence: until when, and what must be done before'),
    ended_at: time.nullable(),
    end_reason: text.nullable(),
    provider: text.describe('Id of the identity provider'),
    client_id: text.nullable().describe('OAuth client that the token was issued to'),
    address: text.describe('Address that the request came from'),
  })
  .describe('The right to renew proxies without a person present')

const newDelegation = delegationAnswer
  .extend({
    renewal_secret: text.describe(
      'The secret that renews, shown only here. Its holder gets proxies of your identity',
    ),
  })
  .describe('A new delegation, with its renewal secret')

const delegationPage = z
  .object({ delegations: z.array(delegationAnswer), next })
  .describe('A page of your delegations, newest first')

const delegationEventAnswer = z
  .object({
    at: time,
    event: z.enum(['made', 'rotated', 'used', 'refused', 'revoked', 'ended', 'notice']),
    outcome: z.enum(['allowed', 'refused']),
    address: text,
    interface: text,
    detail: text.nullable(),
  })
  .describe('What happened to a delegation')

const delegationDetails = delegationAnswer
  .extend({ events: z.array(delegationEventAnswer).describe('The newest 100, newest first') })
  .describe('A delegation with its events')

const delegationRevocation = delegationAnswer
  .extend({
    newly_revoked: z.boolean().describe('false: it had ended before'),
    provider_told: z.boolean().describe('Whether the refresh token was revoked at the provider'),
  })
  .describe('A delegation after its revocation')

const problem = z
  .object({
    type: text.meta({ format: 'uri-reference' }).describe('Page that explains the error'),
    title: text,
    status: z.int(),
    detail: text.describe('What is wrong with this request, for people'),
    code: z
      .enum(Object.keys(errorCodes) as [string, ...string[]])
      .describe('Stable error code, for programs'),
    check: text.optional().describe('The check that failed'),
    accepted_audiences: z
      .array(text)
      .optional()
      .describe('Audiences of which the token needs one (check `audience`)'),
    request_id: text.describe('Id of the request in the log'),
  })
  .describe('An error (RFC 9457): what is wrong, and what to do about it')

const health = z.object({ status: z.literal('ok') }).describe('The process answers')

const readiness = z
  .object({
    ready: z.boolean(),
    stopping: z.boolean(),
    saturated: z.boolean().describe('It has as many requests in progress as it may'),
    requests_in_flight: z.int(),
    store: text.describe('`ok`, or what is wrong'),
    ca: text.describe('`ok`, or what is wrong'),
    providers: z.array(
      z.object({
        id: text,
        ready: z.boolean(),
        using_cached: z.boolean().describe('Its older keys are used: the last attempt failed'),
        problem: text.optional(),
      }),
    ),
  })
  .describe('Whether the service can issue, and what keeps it from it')

const authorityFileList = z
  .object({ files: z.array(text) })
  .describe('Names of the files below /ca')

/** The schemas of all answers, by their names in /openapi.json. */
export const answerSchemas = {
  Certificate: certificateAnswer,
  Credential: credentialAnswer,
  CredentialPage: credentialPage,
  CredentialRevocation: credentialRevocation,
  IssuedCredential: issuedCredentialAnswer,
  Delegation: delegationAnswer,
  NewDelegation: newDelegation,
  DelegationPage: delegationPage,
  DelegationEvent: delegationEventAnswer,
  DelegationDetails: delegationDetails,
  DelegationRevocation: delegationRevocation,
  Problem: problem,
  Health: health,
  Readiness: readiness,
  AuthorityFiles: authorityFileList,
} as const

/** The type of an answer, by its name in /openapi.json. */
export type Answer<Name extends keyof typeof answerSchemas> = z.output<(typeof answerSchemas)[Name]>
