/** What the operations of /openapi.json have in common. */

export type Json = Record<string, unknown>

/** Names of the tags, which group the operations. */
export type ApiTag = keyof typeof tagDescriptions

/** The tags with their descriptions, in alphabetical order. */
export const tagDescriptions = {
  'Certification authority': 'Public files of the CA for relying parties. No token is needed.',
  Credentials: 'What was issued to you: list, show and revoke it.',
  Delegations: 'Renewal of proxies without a person present.',
  Issuing: 'Proxies and certificates for the identity of an access token.',
  Metadata: 'Public descriptions of this service. No token is needed.',
  Operations: 'For monitoring. No token is needed.',
  'Token exchange': 'The same for clients that speak OAuth (RFC 8693), with errors of OAuth.',
  WaTTS: 'The API of WaTTS, version 2, as its clients know it. Version 1 is there too.',
} as const

/** Problems that operations name; all others are described by `default`. */
const problems = {
  400: ['BadRequest', 'The request is malformed, or a parameter is unknown or has a wrong value'],
  401: ['Unauthorized', 'The token is missing, expired or not for this service'],
  403: ['Forbidden', 'The token lacks a scope, or no rule allows this user'],
  404: ['NotFound', 'It does not exist, or belongs to somebody else'],
  409: ['Conflict', 'The request conflicts with the current state'],
  410: ['Gone', 'The delegation has ended; a new token is needed'],
  429: ['TooManyRequests', 'A limit was reached; try again after `Retry-After`'],
  503: [
    'Unavailable',
    'The service or what it needs is busy or away; try again after `Retry-After`',
  ],
} as const

type ProblemStatus = keyof typeof problems

const requestId = { 'X-Request-Id': { $ref: '#/components/headers/RequestId' } }

const problemHeaders: Readonly<Record<number, Json>> = {
  401: { 'WWW-Authenticate': { $ref: '#/components/headers/Challenge' } },
  403: { 'WWW-Authenticate': { $ref: '#/components/headers/Challenge' } },
  429: { 'Retry-After': { $ref: '#/components/headers/RetryAfter' } },
  503: { 'Retry-After': { $ref: '#/components/headers/RetryAfter' } },
}

const problemContent = { 'application/problem+json': { schema: schemaRef('Problem') } }

/** The answers for problems, by name. */
export const problemResponses: Json = {
  Problem: { description: 'Another error', headers: requestId, content: problemContent },
  ...Object.fromEntries(
    Object.entries(problems).map(([status, [name, description]]) => [
      name,
      {
        description,
        headers: { ...requestId, ...problemHeaders[Number(status)] },
        content: problemContent,
      },
    ]),
  ),
}

/** The headers that answers name. */
export const answerHeaders: Json = {
  RequestId: header('Id of the request in the log; one that you send is kept if it is safe'),
  Challenge: header('What the token lacks (RFC 6750), and where the metadata are (RFC 9728)'),
  RetryAfter: header('Seconds to wait before the next attempt', { type: 'integer', minimum: 0 }),
  CredentialId: header('Id of the credential', { type: 'string', format: 'uuid' }),
  NotAfter: header('When the credential expires', { type: 'string', format: 'date-time' }),
  Warning: header('Why some relying party is known to refuse it; absent if there is no reason'),
  RenewsUntil: header('Until when the delegation renews', { type: 'string', format: 'date-time' }),
}

function header(description: string, schema: Json = { type: 'string' }): Json {
  return { description, schema }
}

/** Returns the reference to a schema. */
export function schemaRef(name: string): Json {
  return { $ref: `#/components/schemas/${name}` }
}

/** Content of an answer or a body, by media type. */
export function jsonContent(name: string): Json {
  return { 'application/json': { schema: schemaRef(name) } }
}

/** What an operation is described from. */
export interface OperationParts {
  readonly operationId: string
  readonly tag: ApiTag
  readonly summary: string
  readonly description?: string
  readonly security?: readonly Json[]
  readonly parameters?: readonly Json[]
  readonly requestBody?: Json
  readonly answers: Readonly<Record<number, Json>>
  readonly problems?: readonly ProblemStatus[]
}

/** Describes an operation. Its problems have their own answers; any other one is described by `default`. */
export function operation(parts: OperationParts): Json {
  const { operationId, tag, summary, description, security, parameters, requestBody } = parts
  const named = (parts.problems ?? []).map((status) => [
    status,
    { $ref: `#/components/responses/${problems[status][0]}` },
  ])
  return {
    operationId,
    tags: [tag],
    summary,
    description: description ?? `${summary}.`,
    ...(security === undefined ? {} : { security }),
    ...(parameters === undefined ? {} : { parameters }),
    ...(requestBody === undefined ? {} : { requestBody }),
    responses: {
      ...parts.answers,
      ...(Object.fromEntries(named) as Json),
      default: { $ref: '#/components/responses/Problem' },
    },
  }
}

/** Describes an answer with JSON. */
export function answer(description: string, schema: string, headers: Json = {}): Json {
  return { description, headers: { ...requestId, ...headers }, content: jsonContent(schema) }
}

/** The security of operations with an access token. */
export const withToken: readonly Json[] = [{ bearer: [] }]

/** The id in a path. */
export const idParameter: Json = {
  name: 'id',
  in: 'path',
  required: true,
  description: 'Id of the object',
  schema: { type: 'string', format: 'uuid' },
  example: '0f8fad5b-d9cb-469f-a165-70867728950e',
}
