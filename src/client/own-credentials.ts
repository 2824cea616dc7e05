/** Reads the answers of /v1/credentials: the credentials of the person who owns the token. */
import { z } from 'zod'
import { readJson } from '../../plugins/json.ts'
import { foreignAnswer } from './foreign-answer.ts'
import { serviceRefusal } from './http-client.ts'
import type { HttpResponse } from './http-request.ts'

const text = z.string().max(4096)
const time = z.iso
  .datetime()
  .transform((value) => new Date(value))
  .nullable()

const credential = z.object({
  id: text,
  service: text,
  subject: text,
  issued_at: text,
  not_after: time,
  revoked_at: time,
})

const listAnswer = z.object({ credentials: z.array(credential), next: text.nullish() })

const revocationAnswer = z.object({
  newly_revoked: z.boolean(),
  end_entity_serial: text.nullable(),
  affected: z.array(text),
})

/** A credential as its owner sees it. */
export type OwnCredential = z.output<typeof credential>

/** The outcome of a revocation. */
export type OwnRevocation = z.output<typeof revocationAnswer>

/** An answer as it came, for `--json`, and as it was read. */
export interface ReadAnswer<Value> {
  readonly raw: unknown
  readonly value: Value
}

/**
 * Reads a page of the list; `next` continues it. @throws {TtsError} the refusal of the service; `internal`, check
 * `foreign_answer`
 */
export const readCredentials = (response: HttpResponse): ReadAnswer<z.output<typeof listAnswer>> =>
  readAnswer(response, listAnswer)

/** Reads the outcome of a revocation. @throws {TtsError} as `readCredentials` */
export const readRevocation = (response: HttpResponse): ReadAnswer<OwnRevocation> =>
  readAnswer(response, revocationAnswer)

function readAnswer<Schema extends z.ZodType>(
  response: HttpResponse,
  schema: Schema,
): ReadAnswer<z.output<Schema>> {
  if (response.status !== 200) throw serviceRefusal(response)
  const read = readJson(response.body)
  const raw = 'value' in read ? read.value : undefined
  const parsed = schema.safeParse(raw)
  if (!parsed.success) throw foreignAnswer(response)
  return { raw, value: parsed.data }
}
